#!/usr/bin/env bash
# Builds packages of examples/product, without root, and prints their sizes.
#   packaging/build.sh [-o DIR] [-with PROGRAM] [TARGET...]
# Targets are amd64, arm64 and armhf, which are packages of Debian, and arm and mipsel, which are packages of
# OpenWrt (opkg); all five without any. The packages come to DIR, packaging/out without -o. -with packs
# PROGRAM in place of a build, for tests.
#
# The same source gives the same bytes, on any machine with the same Go and xz. VERSION and
# SOURCE_DATE_EPOCH are those of the commit unless they are set.
set -euo pipefail
umask 022
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
out=$here/out with=
while [ $# -gt 0 ]; do
	case $1 in
	-o) out=$2; shift 2 ;;
	-with) with=$2; shift 2 ;;
	-*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2 ;;
	*) break ;;
	esac
done
[ $# -gt 0 ] || set -- amd64 arm64 armhf arm mipsel

git() { command git -C "$here" "$@"; }
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}"
: "${VERSION:=0~$(TZ=UTC git log -1 --date=format-local:%Y%m%d --format=%cd.%h)}"
export SOURCE_DATE_EPOCH
name=mangusta-product
maintainer='mangusta <mangusta@example.org>'
summary='thermostat with a page'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

# archive DIR: a tar file of it that depends on nothing but its files.
archive() {
	tar --format=gnu --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$1" -cf - .
}

# member FILE NAME: one of an ar file, deb(5).
member() {
	local size
	size=$(stat -c %s "$1")
	printf '%-16s%-12s%-6s%-6s%-8s%-10s`\n' "$2" "$SOURCE_DATE_EPOCH" 0 0 100644 "$size"
	cat "$1"
	[ $((size % 2)) = 0 ] || echo
}

# program FILE GOARCH [NAME=VALUE...]
program() {
	local to=$1 arch=$2
	shift 2
	if [ -n "$with" ]; then
		install -m 0755 "$with" "$to"
		return
	fi
	(cd "$here/../examples/product" && env CGO_ENABLED=0 GOOS=linux "GOARCH=$arch" "$@" \
		go build -tags nogobwas -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=$VERSION" -o "$to" .)
}

# bytes DIR: those of its files. Directories have other sizes on other file systems.
bytes() { find "$1" -type f -printf '%s\n' | awk '{n += $1} END {printf "%d\n", n}'; }

# report PACKAGE ROOT
report() {
	printf '%-52s %9d bytes, the program in it %9d\n' "$(basename "$1")" "$(stat -c %s "$1")" "$(stat -c %s "$2/usr/bin/$name")"
}

# deb ARCHITECTURE GOARCH [NAME=VALUE...]
deb() {
	local arch=$1 dir=$work/deb-$1 file=$out/${name}_${VERSION}_$1.deb
	shift
	install -d "$dir/root/usr/bin" "$dir/control"
	program "$dir/root/usr/bin/$name" "$@"
	install -D -m 0644 -t "$dir/root/usr/lib/systemd/system" "$here/systemd/$name.service" "$here/systemd/$name.socket"
	install -D -m 0644 "$here/debian/default" "$dir/root/etc/default/$name"
	install -D -m 0644 "$here/../LICENSE" "$dir/root/usr/share/doc/$name/copyright"
	install -m 0755 -t "$dir/control" "$here/debian/postinst" "$here/debian/prerm" "$here/debian/postrm"
	echo "/etc/default/$name" >"$dir/control/conffiles"
	(cd "$dir/root" && find usr -type f | sort | xargs md5sum) >"$dir/control/md5sums"
	cat >"$dir/control/control" <<-END
		Package: $name
		Version: $VERSION
		Architecture: $arch
		Maintainer: $maintainer
		Installed-Size: $((($(bytes "$dir/root") + 1023) / 1024))
		Depends: init-system-helpers
		Section: net
		Priority: optional
		Description: $summary
		 An example of mangusta: settings, users, updates and a page, in one program.
		 It listens on the ports 443 and 80. Whoever enters the code that it prints to
		 the journal at its first start becomes the owner.
	END
	echo 2.0 >"$dir/debian-binary"
	archive "$dir/control" | gzip -9n >"$dir/control.tar.gz"
	archive "$dir/root" | xz -T1 -6 >"$dir/data.tar.xz"
	{
		printf '!<arch>\n'
		for m in debian-binary control.tar.gz data.tar.xz; do member "$dir/$m" "$m"; done
	} >"$file"
	report "$file" "$dir/root"
}

# ipk ARCHITECTURE GOARCH [NAME=VALUE...]
ipk() {
	local arch=$1 dir=$work/ipk-$1 file=$out/${name}_${VERSION}_$1.ipk
	shift
	install -d "$dir/root/usr/bin" "$dir/control" "$dir/package"
	program "$dir/root/usr/bin/$name" "$@"
	install -D -m 0755 "$here/openwrt/init" "$dir/root/etc/init.d/$name"
	install -D -m 0600 "$here/openwrt/config" "$dir/root/etc/config/$name"
	install -D -m 0644 "$here/openwrt/keep" "$dir/root/lib/upgrade/keep.d/$name"
	install -m 0755 -t "$dir/control" "$here/openwrt/postinst" "$here/openwrt/prerm"
	echo "/etc/config/$name" >"$dir/control/conffiles"
	cat >"$dir/control/control" <<-END
		Package: $name
		Version: $VERSION
		Architecture: $arch
		Maintainer: $maintainer
		Installed-Size: $(bytes "$dir/root")
		Depends: libc
		Require-User: mangusta:mangusta
		Section: net
		Description: $summary
	END
	echo 2.0 >"$dir/package/debian-binary"
	archive "$dir/control" | gzip -9n >"$dir/package/control.tar.gz"
	archive "$dir/root" | gzip -9n >"$dir/package/data.tar.gz"
	archive "$dir/package" | gzip -9n >"$file"
	report "$file" "$dir/root"
}

for target; do
	case $target in
	amd64) deb amd64 amd64 ;;
	arm64) deb arm64 arm64 ;;
	armhf) deb armhf arm GOARM=7 ;;
	arm) ipk arm_cortex-a7_neon-vfpv4 arm GOARM=7 ;; # such as ipq40xx
	mipsel) ipk mipsel_24kc mipsle GOMIPS=softfloat ;; # such as ramips/mt7621
	*) echo "$0: there is no target $target" >&2; exit 2 ;;
	esac
done
