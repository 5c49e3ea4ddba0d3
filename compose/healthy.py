"""Health check of a container. The exit code is 0 if the container's manager or worker is connected to the database.

Otherwise, the script prints the reason, and the exit code is 1.
"""

import os
import sys

import psycopg

CONNECTED = """
select exists (
  select from pg_stat_activity where application_name like 'ledger %' and client_addr = inet_client_addr())
"""

try:
    with psycopg.connect(os.environ["DATABASE_URL"], connect_timeout=5, application_name="health") as connection:
        row = connection.execute(CONNECTED).fetchone()
except psycopg.OperationalError as error:
    sys.exit(str(error))
assert row is not None
sys.exit(None if row[0] else "no connection of this container to the ledger")
