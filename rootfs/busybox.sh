# busybox: one static program of a megabyte that is every command. The smallest image in which a shell runs.

packages='busybox busybox-static'
config='"Cmd": ["sh"]'

# NAME:ID:HOME:SHELL of each user: root, the two that services use, one ordinary user, and the one who owns nothing.
users='root:0:/root:/bin/sh daemon:1:/usr/sbin:/bin/false www-data:33:/var/www:/bin/false user:1000:/home/user:/bin/sh nobody:65534:/nonexistent:/bin/false'

layers() {
    local binary=$work/files/busybox
    package_file busybox busybox-static '*/bin/busybox' >"$binary"
    chmod +x "$binary"
    {
        cat <<EOF
dir /bin 0755 0:0
dir /sbin 0755 0:0
dir /usr 0755 0:0
dir /usr/bin 0755 0:0
dir /usr/sbin 0755 0:0
dir /etc 0755 0:0
dir /root 0700 0:0
dir /home 0755 0:0
dir /home/user 0755 1000:1000
dir /tmp 1777 0:0
dir /var 0755 0:0
dir /var/log 0755 0:0
dir /dev 0755 0:0
dir /proc 0555 0:0
dir /sys 0555 0:0
dir /run 0755 0:0
file /etc/passwd 0644 0:0 text=$(for user in $users; do echo "$user"; done | sed 's/\([^:]*\):\([^:]*\):/\1:x:\2:\2:\1:/' | encode)
file /etc/group 0644 0:0 text=$(for user in $users; do echo "$user"; done | sed 's/\([^:]*\):\([^:]*\):.*/\1:x:\2:/' | encode)
file /etc/shadow 0600 0:0 text=$(for user in $users; do echo "${user%%:*}:*:20000:0:99999:7:::"; done | encode)
file /bin/busybox 0755 0:0 from=$binary
EOF
        # Hard links, not symbolic ones: a command is then the same file under its own name however its path is resolved, and costs no lookup more.
        "$binary" --list-full | grep -vx 'bin/busybox\|linuxrc' | sed 's|.*|hard /& /bin/busybox|'
    } | layer gzip
}
