#!/usr/bin/env bash
# Install what real services need on a machine without containers: Redis, PostgreSQL, Java, OpenSSL and the browser of the
# console's tests from Debian's packages, Apache Kafka from its Maven artifacts, into a cache that all clones share. A
# second call changes nothing and takes a moment.
#   infra/services.sh install      infra/services.sh where
# Settings: FRAUD_KAFKA_HOME (folder of Kafka's jars), FRAUD_POSTGRES_HOME (of PostgreSQL by version), JAVA_HOME,
# XDG_CACHE_HOME.
set -euo pipefail
cd "$(dirname "$0")"

java_least=17 redis_least=7 postgres_least=15
version=$(sed -n '/kafka_2.13/{n;s/.*<version>\(.*\)<\/version>.*/\1/p}' kafka/pom.xml)
home=${FRAUD_KAFKA_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/fraud/kafka-$version}
java=java
if [ -n "${JAVA_HOME:-}" ] && [ -x "$JAVA_HOME/bin/java" ]; then java=$JAVA_HOME/bin/java; fi

say() { echo "services: $*" >&2; }
stop() { say "$*"; exit 1; }
here() { command -v "$1" > /dev/null; }

# The major number of what is installed; 0 when it is not.
java_major() { if here "$java"; then "$java" -version 2>&1 | sed -n '1s/.*version "\([0-9]*\).*/\1/p'; else echo 0; fi; }
redis_major() { if here redis-server; then redis-server --version | sed 's/.*v=\([0-9]*\).*/\1/'; else echo 0; fi; }
postgres_major() {
    local found
    found=$(ls "${FRAUD_POSTGRES_HOME:-/usr/lib/postgresql}" 2> /dev/null | sed -n '/^[0-9]*$/p' | sort -n | tail -n 1)
    if [ -z "$found" ] && here postgres; then found=$(postgres --version | sed 's/[^0-9]*\([0-9]*\).*/\1/'); fi
    echo "${found:-0}"
}

java_package() {
    local number
    for number in 17 21 25; do
        if apt-cache show "openjdk-$number-jre-headless" > /dev/null 2>&1; then
            echo "openjdk-$number-jre-headless"
            return
        fi
    done
    echo default-jre-headless
}

packages() {
    local missing=() as_root=()
    if [ "$(redis_major)" -lt $redis_least ]; then missing+=(redis-server); fi
    if [ "$(java_major)" -lt $java_least ]; then missing+=(java); fi
    if [ "$(postgres_major)" -lt $postgres_least ]; then missing+=(postgresql); fi
    if ! here chromium; then missing+=(chromium); fi
    if [ ! -f "$home/.complete" ] && ! here mvn; then missing+=(maven); fi
    if ! here openssl; then missing+=(openssl); fi
    if [ ${#missing[@]} -eq 0 ]; then return; fi
    if ! here apt-get; then
        stop "missing: ${missing[*]}. There is no apt-get here: install Redis $redis_least or later, a Java runtime of" \
            "version $java_least or later, PostgreSQL $postgres_least or later, Chromium, Maven and OpenSSL with this" \
            "system's package manager, then call this again."
    fi
    if [ "$(id -u)" -ne 0 ]; then
        here sudo || stop "missing: ${missing[*]}, and no sudo: call 'infra/services.sh install' once as root."
        as_root=(sudo)
    fi
    say "installing ${missing[*]} with apt-get"
    "${as_root[@]}" apt-get update -qq
    # Not started by the package where a run level is asked for: our runner chooses ports and folders.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
        "${missing[@]/#java/$(java_package)}" > /dev/null
    if [ "$(redis_major)" -lt $redis_least ]; then
        stop "Redis $redis_least or later is needed, this system's package is $(redis_major): install it another way."
    fi
    if [ "$(postgres_major)" -lt $postgres_least ]; then
        stop "PostgreSQL $postgres_least or later is needed, this system's package is $(postgres_major): install it" \
            "another way, and name its folder in FRAUD_POSTGRES_HOME."
    fi
    if [ "$(java_major)" -lt $java_least ]; then
        stop "Java $java_least or later is needed, 'java' is $(java_major): set JAVA_HOME to a later one."
    fi
}

kafka() {
    if [ -f "$home/.complete" ]; then return; fi
    say "fetching Apache Kafka $version with Maven"
    mkdir -p "$(dirname "$home")"
    part=$(mktemp -d "$home.XXXXXX")
    trap 'rm -rf "$part"' EXIT
    mvn -q -B -C -f kafka/pom.xml dependency:copy-dependencies -DoutputDirectory="$part" >&2 ||
        stop "Maven could not fetch Kafka. Where its repository is not reached, name a mirror in ~/.m2/settings.xml," \
            "or copy the folder $home from a machine that has it."
    [ -f "$part/kafka_2.13-$version.jar" ] || stop "Maven brought no kafka_2.13-$version.jar: see kafka/pom.xml."
    touch "$part/.complete"
    if [ -d "$home" ] && [ ! -f "$home/.complete" ]; then rm -rf "$home"; fi
    # Whoever is first wins; a second download is thrown away.
    mv -T "$part" "$home" 2> /dev/null || [ -f "$home/.complete" ] || stop "cannot write $home: remove it and try again."
}

# One command a line: a function called in a condition would run on after an error.
case ${1:-install} in
    install)
        packages
        kafka
        say "Kafka $version in $home, Redis $(redis-server --version | sed 's/.*v=\([^ ]*\).*/\1/'), Java $(java_major)," \
            "PostgreSQL $(postgres_major)"
        ;;
    where) echo "$home" ;;
    *)
        say "expected 'install' or 'where', got '$1'"
        exit 2
        ;;
esac
