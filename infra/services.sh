#!/usr/bin/env bash
# Install what a machine without containers needs to run real services: Redis and Java from Debian's packages, Apache
# Kafka from its Maven artifacts, Chromium where a browser test asks for it. A second call changes nothing and takes a moment.
#   infra/services.sh install      infra/services.sh where
set -euo pipefail
cd "$(dirname "$0")"

version=$(sed -n '/kafka_2.13/{n;s/.*<version>\(.*\)<\/version>.*/\1/p}' kafka/pom.xml)
home=${FRAUD_KAFKA_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/fraud/kafka-$version}

say() { echo "services: $*" >&2; }

packages() {
    local missing=()
    command -v redis-server > /dev/null || missing+=(redis-server)
    command -v java > /dev/null || missing+=(openjdk-17-jre-headless)
    if [ ! -f "$home/.complete" ]; then command -v mvn > /dev/null || missing+=(maven); fi
    if [ ${#missing[@]} -eq 0 ]; then return; fi
    if ! command -v apt-get > /dev/null; then
        say "missing: ${missing[*]}. Install them with this system's package manager, then call this again."
        exit 1
    fi
    local root=()
    if [ "$(id -u)" -ne 0 ]; then root=(sudo); fi
    say "installing ${missing[*]}"
    "${root[@]}" apt-get update -qq
    # A package must not start a server of its own: the runner chooses ports and folders.
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
}

kafka() {
    if [ -f "$home/.complete" ]; then return; fi
    say "fetching Apache Kafka $version"
    local part
    mkdir -p "$(dirname "$home")"
    part=$(mktemp -d "$(dirname "$home")/part.XXXXXX")
    mvn -q -B -f kafka/pom.xml dependency:copy-dependencies -DoutputDirectory="$part" >&2
    touch "$part/.complete"
    # Whoever is first wins; a second download is thrown away.
    mv -T "$part" "$home" 2> /dev/null || rm -rf "$part"
}

case ${1:-install} in
    install) packages && kafka && say "Kafka $version in $home, $(redis-server --version | cut -d' ' -f3)" ;;
    where) echo "$home" ;;
    *) say "expected 'install' or 'where', got '$1'"; exit 2 ;;
esac
