/**
 * Words of SQL dialects: reserved words, types, functions, and phrases of several words. What a word is to libinjection its carrier is asked at load
 * (`sql-words.ts`), so a word too many costs a microsecond there and nothing later; one too few is a bare word.
 */
export const vocabulary: readonly string[] = `
abort abs accessible acos add adddate addtime aes_decrypt aes_encrypt after against age aggregate alias all all_users alter always analyze and any
any_value anyarray anyelement anynonarry anynonarray app_name applock_mode applock_test apply array array_agg array_append array_cat array_dim array_dims array_fill array_length
array_lower array_ndims array_position array_prepend array_remove array_replace array_to_json array_to_string array_upper as asc ascii asensitive asin
assemblyproperty asymkey_id asymmetric at atan atan2 atn2 attach authorization auto_increment autoincrement avg backup before begin benchmark between bigint
bigserial bin bin_to_uuid binary binary_double binary_double_infinity binary_double_nan binary_float binary_float_infinity binary_float_nan binbinary bit bit_and
bit_count bit_length bit_or bit_xor blob bool bool_and bool_or boolean both break browse btrim bulk by bytea cache call cascade case cast cbool cbrt cbyte
ccur cdate cdbl ceil ceiling cert_id cert_property certencoded certprivatekey change changes char char_length character character_length charindex charset
chdir chdrive check checkpoint checksum checksum_agg choose chr cint clng clob clock_timestamp close cluster clustered coalesce coercibility col_length col_name collate
collation collationproperty column columnproperty columns columns_updated comment commit compress concat concat_ws condition conflict connect connection_id
constraint contains containstable continue conv convert convert_from convert_to convert_tz cos cot count count_big crc32 create cross csng cstring
ctxsys.drithsx.sn cube cume_dist curdate curdir current current_catalog current_database current_date current_path current_query current_role current_schema
current_schemas current_server current_setting current_time current_timestamp current_timezone current_user currentuser currval cursor cursor_status curtime
cvar cycle data database database_principal_id databasepropertyex databases datalength date date_add date_format date_part date_sub date_trunc dateadd
datediff datefromparts datename datepart dateserial datetime datetime2 datetime2fromparts datetimefromparts datetimeoffset datetimeoffsetfromparts datevalue davg day
day_hour day_microsecond day_minute day_second dayname dayofmonth dayofweek dayofyear db_id db_name dbcc dbms_lock.sleep dbms_pipe.receive_message
dbms_utility.sqlid_to_sqlhash dbms_xmlgen.getxml dbms_xslprocessor.read2clob dbms_ldap.init dbms_assert.enquote_literal dcount deallocate dec decimal declare decode
decrypt decryptbyasmkey decryptbycert decryptbykey decryptbykeyautocert decryptbypassphrase default deferrable degrees delay delayed delete dense_rank deny
des_decrypt des_encrypt desc describe detach deterministic dfirst dictionary difference disk distinct distinctrow distributed div dlast dlookup dmax dmin do
double drop dsum dual dump dumpfile each else elseif elt empty enable enclosed encode encrypt encryptbyasmkey encryptbycert encryptbykey encryptbypassphrase
end end-exec enum enum_first enum_last enum_range eomonth eqv errlvl escape escaped eventdata except exec execute exists exit exp explain export_set external extract
extract_value extractvalue false fetch field file file_id file_idex file_name filedatetime filegroup_id filegroup_name filegroupproperty filelen fileproperty
filetoblob filetoclob fillfactor find_in_set first first_value float float4 float8 floor fn_virtualfilestats for force foreign format found_rows freetext
freetexttable from from_base64 from_days from_unixtime full fulltext fulltextcatalogproperty fulltextserviceproperty function generate_series
generate_subscripts generated geomcollfromtext geometrycollection geomfromtext get get_bit get_byte get_format get_host_address get_lock getattr getdate getutcdate glob global go goto grant greatest group
group_concat grouping grouping_id gtid_subset gtid_subtract handler has_perms_by_name hashbytes having hex high_priority holdlock host_name hour
hour_microsecond hour_minute hour_second ident_current ident_incr ident_seed identified identify identity identity_insert identitycol if iff ifnull ignore iif ilike immediate in
increment index index_col indexed indexkey_property indexproperty inet_aton inet_ntoa inet6_aton inet6_ntoa infile initcap inner inout insensitive insert instead instr instrrev int int1
int2 int3 int4 int8 integer intersect interval into inverse is is_free_lock is_ipv4 is_member is_objectsigned is_rolemember is_srvrolemember is_used_lock isdate
isempty isfinite isnull isnumeric iterate join json_agg json_array json_contains json_extract json_keys json_object json_quote json_unquote json_value julianday justify_days justify_hours justify_interval key key_guid
key_id keys kill lag language last last_day last_insert_id last_insert_rowid last_value lastval lateral lcase lead leading least leave left len length level like
limit limited linear lines linestring link listagg ln load load_extension load_file local localtime localtimestamp locate lock log log10 log2 long longblob longtext loop
low_priority lower lower_inc lower_inf lpad ltrim make_date make_set makedate makepolygon maketime mask masklen master_bind master_pos_wait master_ssl_verify_server_cert match
materialized max maxvalue md5 medium mediumblob mediumint mediumtext merge microsecond mid middleint min minus minute minute_microsecond minute_second minvalue
mkdir mod mode modifies modify money month monthname move multilinestring multipoint multipolygon name_const national natural nchar nclob netmask new newid next nextval no no_write_to_binlog nocheck nocompress
nonclustered none not nothing notnull now nowait nth_value ntile null nullif nulls number numeric nvarchar nvl nvl2 nz object_definition object_id object_name object_schema_name
objectproperty objectpropertyex oct octet_length of off offline offset offsets oid old_password on one_shot online only open opendatasource openquery
openrowset openxml operator optimize option optionally or ord order original_db_name original_login others out outer outfile output over overlaps overlay own3d owner
parsename partition password path pathindex patindex pctfree percent percent_rank percentile_count percentile_disc percentile_rank period_add period_diff permissions
pg_advisory_lock pg_backend_pid pg_cancel_backend pg_client_encoding pg_conf_load_time pg_create_restore_point pg_has_role pg_is_in_recovery
pg_is_other_temp_schema pg_listening_channels pg_ls_dir pg_my_temp_schema pg_postmaster_start_time pg_read_binary_file pg_read_file pg_reload_conf
pg_rotate_logfile pg_sleep pg_start_backup pg_stat_file pg_stop_backup pg_switch_xlog pg_terminate_backend pg_trigger_depth pi pivot plan point polygon position pow power
pragma precision prepare preserve previous primary print prior private privileges proc procedure public publishingservername purge pwdcompare pwdencrypt quarter query_to_xml quote quote_ident
quote_literal quote_nullable quotename radians raise raiseerror raiserror rand random random_bytes randomblob range rank raw read read_write reads readtext real reassign receive reconfigure
recursive references refresh regclass regconfig regdictionary regexp regexp_instr regexp_like regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table
regexp_substr regoper regoperator regproc regprocedure regtype reindex release release_lock rename repeat replace replicate replication require reset resignal resource restore restrict return
returning reverse revert revoke right rlike rollback rollup round row row_count row_number row_to_json rowcount rowguidcol rowid rownum rows rpad rtrim rule save savepoint schama_name schema schema_id schema_name schemas
scope_identity sec_to_time second second_microsecond secure select sensitive separator serial serial2 serial4 serial8 serverproperty session session_user set set_bit set_byte
set_config set_masklen setattr setseed setuser setval sha sha1 sha2 share show shutdown sign signal signbyasmkey signbycert similar sin size sleep smalldatetime smalldatetimefromparts smallint
smallserial some soname soundex sounds source space spatial specific split_part sql sql_big_result sql_buffer_result sql_cache sql_calc_found_rows sql_no_cache
sql_small_result sql_variant sql_variant_property sqlexception sqlstate sqlwarning sqrt ssl st_x st_y starting statement_timestamp statistics stats_date stddev stddev_pop stddev_samp str str_to_date
straight_join strcmp strconv strftime string_agg string_to_array strpos stuff subdate substr substring substring_index subtime successful sum suser_id suser_name suser_sid suser_sname symmetric synonym
switchoffset sys.database_name sys.fn_builtin_permissions sys.fn_get_audit_file sys.fn_my_permissions sys.stragg sys_context syscolumns sysdate sysdatetime sysdatetimeoffset sysobjects
system_user sysusers sysutcdatetime table tables tablesample tan tempdb temporary tertiary_weights terminated text textptr textsize textvalid then tick_to_date time time_format time_to_sec timediff
timefromparts timeofday timeserial timestamp timestampadd timestampdiff timestampn timevalue timezone timezone_hour tinyblob tinyint tinytext to to_ascii to_base64 to_char to_date to_days to_hex to_number
to_seconds to_timestamp to_tsquery to_tsvector todatetimeoffset top total total_changes trailing tran transaction transaction_timestamp translate trigger trigger_nestlevel trim true trunc
truncate try try_cast try_convert try_parse tsequal typeof type_id type_name type_property ucase uescape uid uncompress uncompressed_length undo unhex uni_on unicode uninstall union unique unix_timestamp unknown unlikely
unlock unnest unpivot unsigned until unused update updatetext updatexml upper upper_inc upper_inf usage use use_frm user user_id user_name userenv using utc_date utc_time utc_timestamp
utl_encode.text_decode utl_encode.text_encode utl_file.fopen utl_http.request utl_inaddr.get_host_address utl_inaddr.get_host_name utl_raw.cast_to_raw utl_raw.cast_from_number utl_url.escape uuid uuid_short
uuid_to_bin vacuum val validate validate_password_strength value values var var_pop var_samp varbinary varchar varchar2 varcharacter variables variance varp varray varying verify_cert view virtual void wait wait_for_executed_gtid_set waitfor
week weekday weekdayname weekofyear weight_string when whenever where while whoami width_bucket window with within without work write writetext xmlagg xmlcomment xmlconcat xmlelement xmlexists xmlforest xmlformat xmlnamespaces
xmlparse xmlpi xmlroot xmlserialize xmltable xmltype xor xp_availablemedia xp_cmdshell xp_dirtree xp_execresultset xp_fileexist xp_regread xp_regwrite xp_servicecontrol xp_subdirs sp_executesql sp_oacreate sp_password xpath xpath_exists
year year_month yearweek zerofill zeroblob sqlite_version strcomp switchoffet sysutcdatetme textpos typeproperty uncompress_length user_lock.sleep verifysignedbyasmkey
verifysignedbycert version xml_is_well_formed
_armscii8 _ascii _big5 _binary _cp1250 _cp1251 _cp1257 _cp850 _cp852 _cp866 _cp932 _dec8 _eucjpms _euckr _gb2312 _gbk _geostd8 _greek _hebrew _hp8
_keybcs2 _koi8r _koi8u _latin1 _latin2 _latin5 _latin7 _macce _macroman _sjis _swe7 _tis620 _ujis _usc2 _utf8 _utf8mb4
`
  .trim()
  .split(/\s+/)

/** Phrases; those they begin with count too. */
export const phrases: readonly string[] = `
all privileges, alter column, alter database, alter domain, alter function, alter index, alter procedure, alter schema, alter table, alter user, alter view,
at time zone, begin declare, begin goto, begin tran, begin transaction, begin try, begin try declare, bulk insert, by default, character varying, create database,
create function, create index, create or replace, create procedure, create schema, create table, create trigger, create user, create view, cross apply, cross join, current date, current degree,
current function, current function path, current path, current schema, current server, current time, current timestamp, current timezone, current user, delete from, double precision,
drop column, drop database, drop function, drop index, drop procedure, drop schema, drop table, drop trigger, drop user, drop view, execute as, execute as login, execute as user, execute immediate, for update, for update nowait,
for update of, for update skip, for update skip locked, for update wait, full join, full outer, full outer join, group by, if exists, if not, if not exists, in boolean, in boolean mode, inner join, insert delayed,
insert delayed into, insert high_priority, insert high_priority into, insert ignore, insert ignore into, insert into, insert low_priority, insert low_priority into, intersect all,
into dumpfile, into outfile, is distinct, is distinct from, is not, is not distinct, is not distinct from, is not null, is null, left join, left outer, left outer join, load data, load xml, lock in, lock in share, lock in share mode,
lock table, lock tables, minus all, natural full, natural full outer join, natural inner, natural inner join, natural join, natural left, natural left outer, natural left outer join, natural outer, natural right,
natural right outer, natural right outer join, next value, next value for, not between, not exists, not glob, not ilike, not in, not like, not match, not null, not regexp, not rlike, not similar, not similar to, on delete, on update, order by, outer apply, outer join, own3d by,
partition by, previous value, previous value for, procedure analyse, read committed, read uncommitted, read write, replace into, right join, right outer, right outer join, select all, select distinct, select top, set names, similar to, sounds like,
union all, union all distinct, union all select, union distinct, union distinct all, union select, update set, waitfor delay, waitfor receive, waitfor time, with rollup, with time zone, without time zone
`
  .trim()
  .split(/,\s*/)
