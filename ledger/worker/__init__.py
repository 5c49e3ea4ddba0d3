"""The worker, which consists of a supervisor process and a trainer process."""
