# shellcheck shell=bash
# What every script here stands on: where things are, how to speak, how to install a Debian package.
# Sourced, never run. Nothing in it writes to stdout, which belongs to the caller's answer.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Everything the scripts make (private services, tools) lives here and can be deleted. Whole and without doubled slashes, as
# servers write it: their processes are known by it.
data=$(realpath -ms "${UNIGATE_DATA_DIR:-$root/.data}")
# shellcheck disable=SC2034 # used by the scripts that source this file
tools=$data/tools

say() { echo "${0##*/}: $*" >&2; }

die() {
  say "error: $*"
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# alone LOCK [ARGUMENT]...  Runs this script with these arguments again, one at a time of all that take the lock of that name. It is
# held by flock itself and not handed down, or services would keep it for as long as they live.
alone() {
  mkdir -p "$data"
  [[ ${UNIGATE_LOCKED:-} == "$1" ]] || UNIGATE_LOCKED=$1 exec flock --close "$data/$1.lock" "$0" "${@:2}"
}

# Whether somebody is there to type a password. Seen once, here: what is run as root gets another stdin.
attended=
if [[ -t 0 ]]; then attended=1; fi

as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  elif have sudo && [[ -n $attended ]]; then
    sudo "$@"
  elif have sudo; then
    sudo -n "$@" # nobody there to type a password: fail instead of waiting
  else
    return 1
  fi
}

# apt_install PACKAGE...  Says what it does first. It may fail half way and still have done enough
# (a package whose system service does not start here), so the caller checks what it wanted.
apt_install() {
  have apt-get || die "please install $* (no apt-get here to do it)"
  local log=$data/apt.log
  mkdir -p "$data"
  say "installing Debian packages: $* (what apt-get says goes to $log)"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
  if [[ -z ${apt_updated:-} ]]; then
    as_root "${apt[@]}" update >>"$log" 2>&1 </dev/null || say "apt-get update failed, going on with the lists there are"
    apt_updated=1
  fi
  as_root "${apt[@]}" install -y --no-install-recommends "$@" >>"$log" 2>&1 </dev/null ||
    say "apt-get install ended with an error (neither root nor sudo, or a package's own script failed)"
}

# tcp_open HOST PORT
tcp_open() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null
}

# free_port FIRST  The first port from FIRST on that nobody listens on.
free_port() {
  local port=$1
  while tcp_open 127.0.0.1 "$port"; do port=$((port + 1)); done
  echo "$port"
}

# Each data directory begins to look elsewhere: of two checkouts that start at once, both would find the same port free.
port_offset=$((16#$(printf '%s' "$data" | sha256sum | cut -c1-6) % 1000))

# same_port OLD FIRST  The port used before, so that whoever knows it finds the service again; else a free one.
same_port() {
  if [[ -n $1 ]] && ! tcp_open 127.0.0.1 "$1"; then
    echo "$1"
  else
    free_port "$(($2 + port_offset))"
  fi
}

# wait_for SECONDS COMMAND...
wait_for() {
  local until=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < until)) || return 1
    sleep 0.2
  done
}
