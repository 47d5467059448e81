#!/usr/bin/env bash
# Fetches the newest Debian kernel of a series and unpacks it in target/kernels/VERSION:
# vmlinuz, lib/modules/RELEASE and the file release. Prints VERSION.
#   fetch.sh lists     reads the package lists; once before the others
#   fetch.sh 6.1       the newest 6.1 of any suite below
#   fetch.sh newest    the newest of all
. "$(dirname "$0")/../lib.sh"

# The cloud flavour has no drivers of hardware, so it is a third of the size; its network stack is the same.
meta=linux-image-cloud-amd64
# Series and suites: 5.10 in the first, 6.1 in the second, 6.12 in the next two, the newest in the last two.
suites='security:bullseye-security security:bookworm-security security:trixie-security
    main:bookworm-backports main:trixie-backports main:sid'

store=$CARGO_TARGET_DIR/kernels
apt=$store/apt
# Everything else, proxies for example, is as this machine has it.
options=(-o "Dir::State=$apt/state" -o "Dir::State::status=$apt/state/status" -o "Dir::Cache=$apt/cache"
    -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root
    -o APT::Architecture=amd64 -o APT::Architectures=amd64)

# mirror LABEL DEFAULT: where this machine gets Debian's archive of that label.
mirror() {
    local found
    # shellcheck disable=SC2016 # the names are apt's
    found=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null \
        | awk -v label="$1" '$1 == "Debian" && $2 == label { print $3; exit }')
    echo "${found:-$2}"
}

read_lists() {
    local main security suite from
    main=$(mirror Debian http://deb.debian.org/debian)
    security=$(mirror Debian-Security http://deb.debian.org/debian-security)
    mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
    : >"$apt/state/status"
    for suite in $suites; do
        from=$main
        [ "${suite%%:*}" = main ] || from=$security
        echo "deb [target=Packages signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $from ${suite#*:} main"
    done >"$apt/sources.list"
    apt-get "${options[@]}" update -qq || say 'warning: apt-get update failed; going on with the lists at hand'
}

# The newest version of the package in this series.
newest_version() {
    local series=$1 best='' version
    while read -r version; do
        [ "$series" = newest ] || [[ $version == "$series".* ]] || continue
        if [ -z "$best" ] || dpkg --compare-versions "$version" gt "$best"; then best=$version; fi
    done < <(apt-cache "${options[@]}" madison $meta | awk '{ print $3 }')
    [ -n "$best" ] || die "no suite has a kernel $series"
    echo "$best"
}

# parts PACKAGE VERSION: the packages of this version that hold the kernel and its modules. Up to 6.x they
# are in linux-image-*, later in several packages that linux-image-* depends on.
parts() {
    local part
    apt-cache "${options[@]}" show "$1=$2" | sed -n 's/^Depends: //p' | tr , '\n' \
        | grep -oE "linux-(image|binary|base|modules)-[0-9][^ ]*" | sort -u | while read -r part; do
        echo "$part"
        parts "$part" "$2"
    done || true
}

fetch() {
    local version folder names part
    version=$(newest_version "$1")
    folder=$store/$version
    if [ ! -e "$folder/release" ]; then
        names=$(parts $meta "$version" | sort -u)
        [ -n "$names" ] || die "$meta $version names no package with a kernel"
        say "fetching ${names//$'\n'/, } $version"
        rm -rf "$folder"
        mkdir -p "$folder/packages" "$folder/files"
        for part in $names; do
            (cd "$folder/packages" && apt-get "${options[@]}" download -qq "$part=$version" >&2)
            dpkg-deb -x "$folder/packages/${part}"_*.deb "$folder/files"
        done
        unpack "$folder"
    fi
    echo "$version"
}

unpack() {
    local folder=$1 image modules release
    image=$(find "$folder/files" -type f -name 'vmlinuz*' -print -quit)
    modules=$(find "$folder/files" -type d -path '*/lib/modules/*/kernel' -print -quit)
    [ -n "$image" ] || die "the packages in $folder hold no kernel"
    [ -n "$modules" ] || die "the packages in $folder hold no modules"
    modules=$(dirname "$modules")
    release=$(basename "$modules")
    mkdir -p "$folder/lib/modules"
    mv "$image" "$folder/vmlinuz"
    mv "$modules" "$folder/lib/modules/$release"
    # The packages leave this to the machine that they are installed on.
    depmod -b "$folder" "$release"
    rm -rf "$folder/files" "$folder/packages"
    # Last: it says that the folder is whole.
    echo "$release" >"$folder/release"
}

case ${1:?a series, or lists} in
    lists) read_lists ;;
    *) fetch "$1" ;;
esac
