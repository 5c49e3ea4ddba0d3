"""What comes into a ledger from elsewhere: finished trials as history, or a whole study."""
