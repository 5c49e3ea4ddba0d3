"""The worker. A worker consists of a supervisor process and a trainer process."""
