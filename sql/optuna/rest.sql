-- Empty views for Optuna. Optuna reads some data that the ledger does not have, such as heartbeats of trials.
create or replace view optuna.trial_system_attributes as
select 0 as trial_system_attribute_id, 0 as trial_id, ''::varchar as key, '' as value_json where false;

create or replace view optuna.trial_heartbeats as
select 0 as trial_heartbeat_id, 0 as trial_id, localtimestamp as heartbeat where false;

-- Optuna reads the version of its tables from the views `version_info` and `alembic_version`, and refuses an unknown
-- version.
create or replace view optuna.version_info as
select 1 as version_info_id, 12 as schema_version, '5.0.0'::varchar as library_version;

create or replace view optuna.alembic_version as
select 'v3.2.0.a'::varchar as version_num;
