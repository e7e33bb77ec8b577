# shellcheck shell=bash
# What the private services have in common: whom they run as, where they keep their data, how they are found and ended.

data=${data:?source common.sh first}

# run_as USER COMMAND...  PostgreSQL refuses to run as root and RabbitMQ has no need to.
run_as() {
  local user=$1
  shift
  if [[ $EUID -eq 0 ]]; then
    setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups -- "$@"
  else
    "$@"
  fi
}

# process_of NAME FILE WORD  The live process of that name whose arguments (FILE cmdline) or environment (environ) have the word.
# Not by its pid file: that is written late, so a server would go unseen whose starter was killed, and the number in an old one
# may be somebody else's by now.
process_of() {
  local comm
  for comm in $(grep -lx -- "$1" /proc/[0-9]*/comm 2>/dev/null); do
    if grep -qzxF -- "$3" "${comm%comm}$2" 2>/dev/null; then
      basename "${comm%/comm}"
      return
    fi
  done
  return 1
}

# end_process TITLE SIGNAL PID_OF DIR  Asks the process that PID_OF finds there to end, until it finds none.
end_process() {
  local pid
  pid=$("$3" "$4") || return 0
  say "$1: stopping the private one in $4"
  # More than once: what has only just been started may not have heard.
  for _ in {1..12}; do
    kill -s "$2" "$pid" || ended "$3" "$4" || die "private $1 (process $pid) cannot be stopped from here"
    if wait_for 5 ended "$3" "$4"; then return; fi
    pid=$("$3" "$4") || return 0
  done
  die "private $1 (process $pid) does not stop"
}

ended() { ! "$@" >/dev/null; }

# A checkout below a directory that others cannot enter is useless to those users: then /var/tmp.
fallback_dir() {
  local hash
  hash=$(printf '%s' "$data" | sha256sum | cut -c1-12)
  echo "/var/tmp/unigate-$hash"
}

# make_dir DIR USER  Makes it and hands it to the user; false when the user cannot work in it.
make_dir() {
  mkdir -p "$1" || return 1
  local runs_as=$2 other
  if [[ $EUID -ne 0 ]]; then runs_as=$(id -un); fi
  other=$(find "$1" -mindepth 1 -maxdepth 1 ! -user "$runs_as" ! -user "$EUID" -printf '%u' -quit 2>/dev/null)
  [[ -z $other ]] || die "$1 holds what belongs to $other, and $runs_as would run it here: start it as whoever did before," \
    "or have them delete it (scripts/services clean), or set UNIGATE_DATA_DIR"
  if [[ $EUID -eq 0 ]]; then chown "$2" "$1"; fi
  run_as "$2" test -w "$1"
}

# service_dir NAME USER  The directory of a private service, made if need be.
service_dir() {
  local dir=$data/$1 elsewhere
  if make_dir "$dir" "$2"; then
    echo "$dir"
    return
  fi
  rmdir "$dir" 2>/dev/null || true
  elsewhere=$(fallback_dir)
  mkdir -p "$elsewhere"
  [[ -O $elsewhere ]] || die "$elsewhere belongs to someone else; set UNIGATE_DATA_DIR"
  make_dir "$elsewhere/$1" "$2" || die "user $2 can write neither $dir nor $elsewhere/$1"
  echo "$elsewhere/$1"
}

# in_each_place NAME COMMAND...  The command with each directory that the private service has. They may be two, when one user
# could work in the first and another could not.
in_each_place() {
  local dir failed=0
  for dir in "$data/$1" "$(fallback_dir)/$1"; do
    if [[ -d $dir ]]; then ("${@:2}" "$dir") || failed=1; fi
  done
  return "$failed"
}

# tell TITLE PID_OF PORT_OF DIR  Says where it runs, if it does.
tell() {
  if "$2" "$4" >/dev/null; then echo "private $1: running at 127.0.0.1:$("$3" "$4"), data in $4"; fi
}

# status_private NAME TITLE PID_OF PORT_OF
status_private() {
  in_each_place "$1" tell "${@:2}" | grep . || echo "private $2: not running"
}
