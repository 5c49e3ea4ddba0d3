"""The worker: a supervisor process, and the trainer process that it starts."""
