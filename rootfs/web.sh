# web: nginx, with curl and a MariaDB client beside it.

. "$here/base.inc"

packages="
base $base_packages
web nginx curl ca-certificates mariadb-client-core
"
# iproute2 and openssl are for the packages' scripts only, the rest for ways of authenticating that nobody uses here.
without="$base_without iproute2 openssl libsasl2-modules-db krb5-locales"
config='
"Cmd": ["nginx", "-e", "stderr", "-g", "daemon off;"]
"StopSignal": "SIGQUIT"
"ExposedPorts": {"80/tcp": {}, "443/tcp": {}}
'

layers() {
    base_layer gzip
    {
        drop_documentation
        cat <<EOF
group web
file /etc/nginx/nginx.conf 0644 0:0 from=$here/files/nginx.conf
dir /srv 0755 0:0
dir /srv/www 0755 0:0
file /srv/www/index.html 0644 0:0 text=$(echo '<h1>podling</h1>' | encode)
file /etc/ssl/certs/ca-certificates.crt 0644 0:0 join=/usr/share/ca-certificates/mozilla/*.crt
EOF
    } | layer gzip
}
