# debian: a small Debian, and above it, in layers of every compression, each thing that makes unpacking and identity hard. The tests look
# into it; `podling run` of it gives a shell with id, su, ping, ip, ps, getcap and getfattr.

. "$here/base.inc"

packages="
base $base_packages
tools libc-bin login util-linux passwd libpam-modules libpam-runtime iputils-ping iproute2 libcap2-bin procps attr findutils
"
without=$base_without
config='"Cmd": ["sh"]'
tools='zstd'

layers() {
    base_layer gzip
    tools_layer | layer zstd
    odd_layer | layer plain
    changes_layer | layer gzip
    return_layer | layer gzip
}

# The programs, with what their packages' scripts would have set up: PAM's common files, shadow, ping's capability.
tools_layer() {
    local nobody_may_log_in
    nobody_may_log_in=$(printf '%s:*:20000:0:99999:7:::\n' root daemon www-data nginx mysql user nobody | encode)
    drop_documentation
    cat <<EOF
drop /usr/lib/*/gconv/*
group tools
file /etc/shadow 0640 0:42 text=$nobody_may_log_in
file /etc/pam.d/common-auth 0644 0:0 text=$(echo 'auth required pam_unix.so' | encode)
file /etc/pam.d/common-account 0644 0:0 text=$(echo 'account required pam_unix.so' | encode)
file /etc/pam.d/common-password 0644 0:0 text=$(echo 'password required pam_unix.so' | encode)
file /etc/pam.d/common-session 0644 0:0 text=$(echo 'session optional pam_unix.so' | encode)
set /usr/bin/ping mode=0755 cap=2000
set /usr/bin/su mode=4755
dir /opt 0755 0:0
hard /opt/su-by-another-name /usr/bin/su
hard /usr/bin/su-beside-it /usr/bin/su
EOF
}

# Everything below /odd is here for the tests. What a later layer takes away or replaces is in /odd/changes.
odd_layer() {
    local name deep
    cat <<EOF
dir /odd 0755 0:0 mtime=86400
dir /odd/modes 0755 0:0
file /odd/modes/setuid 4755 0:0 text=setuid
file /odd/modes/setgid 2755 0:33 text=setgid
file /odd/modes/both 6711 1000:1000 text=both
file /odd/modes/none 0000 0:0 text=none
file /odd/modes/readonly 0444 0:0 text=readonly
dir /odd/modes/sticky 1777 0:0
dir /odd/modes/setgid-dir 2775 0:33
dir /odd/modes/closed 0700 65534:65534
file /odd/modes/closed/inside 0600 65534:65534 text=inside
dir /odd/modes/readonly-dir 0555 1000:1000
file /odd/modes/readonly-dir/inside 0444 1000:1000 text=inside
dir /odd/owners 0755 0:0
file /odd/owners/daemon 0644 1:1 text=daemon
file /odd/owners/www-data 0644 33:33 text=www-data
file /odd/owners/user 0640 1000:1000 text=user
file /odd/owners/nobody 0644 65534:65534 text=nobody
file /odd/owners/mixed 0644 33:1000 text=mixed
sym /odd/owners/link-of-user user owner=1000:1000
dir /odd/empty 0755 0:0
dir /odd/empty/in 0755 0:0
dir /odd/empty/in/each-other 0755 0:0
fifo /odd/fifo 0620 0:5
file /odd/empty-file 0644 0:0
dir /odd/times 0755 0:0 mtime=1000000000.000000001
file /odd/times/epoch 0644 0:0 mtime=0 text=epoch
file /odd/times/1985 0644 0:0 mtime=499162860 text=1985
file /odd/times/sub-second 0644 0:0 mtime=1234567890.123456789 text=sub-second
file /odd/times/after-2038 0644 0:0 mtime=4102444800 text=2100
sym /odd/times/link-of-1985 1985 mtime=499162860
dir /odd/xattrs 0755 0:0 xattr:user.of-a-directory=yes
file /odd/xattrs/several 0644 0:0 text=x xattr:user.one=1 xattr:user.two=two%20words xattr:user.binary=%00%01%ff%0a
file /odd/xattrs/capability 0755 0:0 text=x cap=400
dir /odd/links 0755 0:0
dir /odd/links/a 0755 0:0
dir /odd/links/b 0755 0:0
file /odd/links/b/original 0644 33:33 text=three%20names
hard /odd/links/a/earlier /odd/links/b/original
hard /odd/links/z /odd/links/b/original
hard /odd/links/to-setuid /odd/modes/setuid
sym /odd/links/dangling /nowhere/at/all
sym /odd/links/absolute /etc/passwd
sym /odd/links/out-and-in ../../../../../../etc/passwd
sym /odd/links/to-itself to-itself
sym /odd/links/to-a-directory b
sym /odd/links/long-target /$(repeat long/ 60)end
dir /odd/names 0755 0:0
EOF
    for name in ' leading and trailing ' 'new
line' 'tab	back\slash' '-rf' '*?[x]' "quote'\"" '%41' 'ünï·cödé-名前-🦀' '.hidden' '...' 'a=b' ; do
        echo "file /odd/names/$(printf %s "$name" | encode) 0644 0:0 text=$(printf %s "$name" | encode)"
    done
    deep=/odd/names/deep
    echo "dir $deep 0755 0:0"
    for name in $(seq 20); do
        deep=$deep/$(repeat "d$name" 15)
        echo "dir $deep 0755 0:0"
    done
    cat <<EOF
file $deep/bottom 0644 1000:1000 text=bottom
file /odd/names/$(repeat n 100) 0644 0:0 text=100
file /odd/names/$(repeat n 101) 0644 0:0 text=101
file /odd/names/$(repeat n 156) 0644 0:0 text=156
file /odd/names/$(repeat n 255) 0644 0:0 text=255
file /odd/names/$(repeat é 127 | encode) 0644 0:0 text=254
hard /odd/names/link-to-255 /odd/names/$(repeat n 255)
dir /odd/changes 0755 0:0
file /odd/changes/stays 0644 0:0 text=stays
file /odd/changes/goes 0644 0:0 text=goes
dir /odd/changes/dir-goes 0755 0:0
file /odd/changes/dir-goes/with-this 0644 0:0 text=this
dir /odd/changes/emptied 0755 0:0
file /odd/changes/emptied/old 0644 0:0 text=old
dir /odd/changes/emptied/old-dir 0755 0:0
file /odd/changes/emptied/old-dir/old 0644 0:0 text=old
file /odd/changes/file-to-dir 0644 0:0 text=file
dir /odd/changes/dir-to-file 0755 0:0
file /odd/changes/dir-to-file/inside 0644 0:0 text=inside
dir /odd/changes/dir-to-link 0755 0:0
file /odd/changes/dir-to-link/inside 0644 0:0 text=inside
sym /odd/changes/link-to-dir stays
sym /odd/changes/link-to-file stays
file /odd/changes/file-to-link 0644 0:0 text=file
file /odd/changes/new-mode 0644 0:0 text=content
file /odd/changes/name-with-two 0644 0:0 text=two
hard /odd/changes/one-of-two /odd/changes/name-with-two
dir /odd/changes/returns 0755 0:0
file /odd/changes/returns/old 0644 0:0 text=old
EOF
}

changes_layer() {
    cat <<EOF
dir /odd 0755 0:0 mtime=86400
dir /odd/changes 0755 0:0
whiteout /odd/changes/goes
whiteout /odd/changes/dir-goes
whiteout /odd/changes/one-of-two
whiteout /odd/changes/returns
whiteout /odd/changes/never-was
dir /odd/changes/emptied 0750 0:33
opaque /odd/changes/emptied
file /odd/changes/emptied/new 0644 0:0 text=new
dir /odd/changes/file-to-dir 0755 0:0
file /odd/changes/file-to-dir/inside 0644 0:0 text=inside
file /odd/changes/dir-to-file 0644 0:0 text=file
sym /odd/changes/dir-to-link stays
dir /odd/changes/link-to-dir 0755 0:0
file /odd/changes/link-to-dir/inside 0644 0:0 text=inside
file /odd/changes/link-to-file 0644 0:0 text=file
sym /odd/changes/file-to-link stays
file /odd/changes/new-mode 4711 33:33 text=content
file /odd/zeros 0644 0:0 zeros=3145728
EOF
}

# What the layer below took away comes back, and a directory is emptied a second time.
return_layer() {
    cat <<EOF
dir /odd 0755 0:0 mtime=86400
dir /odd/changes 0755 0:0
dir /odd/changes/returns 0700 1000:1000
file /odd/changes/returns/new 0644 1000:1000 text=new
file /odd/changes/goes-not-now 0644 0:0 text=here
dir /odd/changes/emptied 0755 0:0
opaque /odd/changes/emptied
file /odd/changes/emptied/newest 0644 0:0 text=newest
EOF
}
