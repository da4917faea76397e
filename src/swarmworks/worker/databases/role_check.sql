/* What makes the role that is connected, or one it can turn into, more than a reader; nothing when it is one. A replica takes
   no writes from anybody, so there only what reaches beyond the database counts. */
WITH able AS (
    SELECT r.* FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(r.oid, 'MEMBER')
),
tables AS (
    SELECT c.oid, c.relkind, pg_catalog.format('%I.%I', n.nspname, c.relname) AS named
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
),
large AS (
    SELECT oid, oid::pg_catalog.regprocedure::pg_catalog.text AS named FROM pg_catalog.pg_proc
    WHERE pronamespace = 'pg_catalog'::pg_catalog.regnamespace
    AND proname IN ('lo_create', 'lo_creat', 'lo_from_bytea', 'lo_put', 'lowrite')
),
found AS (
    SELECT 1 AS rank, pg_catalog.format('%I is a superuser', rolname) AS why FROM able WHERE rolsuper
    UNION ALL
    SELECT 2, pg_catalog.format('%I may make roles', rolname) FROM able WHERE rolcreaterole
    UNION ALL
    SELECT 2, pg_catalog.format('%I may replicate', rolname) FROM able WHERE rolreplication
    UNION ALL
    SELECT 3, pg_catalog.format('it is a member of %I', rolname) FROM able
    WHERE rolname IN (
        'pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files', 'pg_signal_backend',
        'pg_checkpoint', 'pg_create_subscription', 'pg_maintain'
    )
    UNION ALL
    SELECT * FROM (
        SELECT 4, pg_catalog.format('%I may make databases', rolname) FROM able WHERE rolcreatedb
        UNION ALL
        SELECT 4, pg_catalog.format('it is a member of %I', rolname) FROM able WHERE rolname = 'pg_write_all_data'
        UNION ALL
        SELECT 5, pg_catalog.format('%I may make schemas', rolname) FROM able
        WHERE pg_catalog.has_database_privilege(oid, pg_catalog.current_database(), 'CREATE')
        UNION ALL
        SELECT 6, pg_catalog.format('%I may make objects in the schema %I', rolname, n.nspname)
        FROM able, pg_catalog.pg_namespace n
        WHERE n.nspname !~ '^pg_' AND pg_catalog.has_schema_privilege(able.oid, n.oid, 'CREATE')
        UNION ALL
        SELECT 7, pg_catalog.format('%I may write %s', rolname, named) FROM able, tables
        WHERE relkind <> 'S' AND (
            pg_catalog.has_table_privilege(able.oid, tables.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES')
            OR pg_catalog.has_any_column_privilege(able.oid, tables.oid, 'INSERT, UPDATE, REFERENCES')
        )
        UNION ALL
        SELECT 8, pg_catalog.format('%I may advance %s', rolname, named) FROM able, tables
        WHERE relkind = 'S' AND pg_catalog.has_sequence_privilege(able.oid, tables.oid, 'USAGE, UPDATE')
        UNION ALL
        SELECT 9, pg_catalog.format(
            '%I may write large objects until REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC, %1$I',
            rolname, pg_catalog.string_agg(named, ', ' ORDER BY named)
        ) FROM able, large WHERE pg_catalog.has_function_privilege(able.oid, large.oid, 'EXECUTE') GROUP BY rolname
    ) writes(rank, why)
    WHERE NOT pg_catalog.pg_is_in_recovery()
)
SELECT pg_catalog.string_agg(why, '; ' ORDER BY rank, why) FROM (SELECT rank, why FROM found ORDER BY rank, why LIMIT 5) first
