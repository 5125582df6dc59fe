# db: MariaDB on a unix socket behind a TCP proxy on port 3306, as a cloud provider's database proxy would be.

. "$here/base.inc"

packages="
base $base_packages
db mariadb-server-core mariadb-client-core socat
"
without="$base_without krb5-locales"
config='
"Cmd": ["db-serve"]
"ExposedPorts": {"3306/tcp": {}}
'

layers() {
    base_layer gzip
    {
        drop_documentation
        # Tools for upgrades and repairs, and the server's messages in 25 languages, are half of the packages.
        cat <<EOF
drop /usr/bin/innochecksum
drop /usr/bin/mariadb-check
drop /usr/bin/mariadb-upgrade
drop /usr/bin/my_print_defaults
drop /usr/bin/resolveip
drop /usr/share/m*/fill_help_tables.sql
drop /usr/share/m*/mysql_sys_schema.sql
$(for language in bulgarian chinese czech danish dutch estonian french georgian german greek hindi hungarian italian japanese korean norwegian norwegian-ny polish portuguese romanian russian serbian slovak spanish swedish swahili ukrainian; do echo "drop /usr/share/m*/$language/*"; done)
group db
dir /var/lib/mysql 1777 999:999
file /usr/local/bin/db-serve 0755 0:0 from=$here/files/db-serve
EOF
    } | layer gzip
}
