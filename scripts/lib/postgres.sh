# shellcheck shell=bash
# PostgreSQL: is one there that lets us in, and a private one when not.

pg_first_port=25432 # below 32768: a retrying client cannot end up connected to itself there

# pg_lets_in PORT USER  A start-up message without a password, answered by AuthenticationOk.
# No client program needed, so it also works against a server in a container.
pg_lets_in() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  timeout 5 bash -c '
    exec 3<>"/dev/tcp/127.0.0.1/$0"
    length=$((4 + 4 + 5 + ${#1} + 1 + 9 + 9 + 1))
    printf "\0\0\0\x$(printf %x $length)\0\3\0\0user\0%s\0database\0postgres\0\0" "$1" >&3
    [[ $(head -c 9 <&3 | od -An -v -tx1 | tr -d " \n") == 520000000800000000 ]]
  ' "$1" "$2" 2>/dev/null
}

# pg_can_create PORT USER  Whether the role may make databases; believed when there is no psql to ask with.
pg_can_create() {
  have psql || return 0
  local may
  may=$(PGCONNECT_TIMEOUT=5 psql -XwAt -h 127.0.0.1 -p "$1" -U "$2" -d postgres \
    -c "SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user" 2>/dev/null) || return 1
  [[ $may == t ]]
}

standard_postgres() {
  local user
  for user in postgres "$(id -un)"; do
    if pg_lets_in 5432 "$user" && pg_can_create 5432 "$user"; then
      say "PostgreSQL: the one at 127.0.0.1:5432, as $user"
      echo "postgres://$user@127.0.0.1:5432/postgres"
      return
    fi
  done
  return 1
}

postgres_installed() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }

# pg_bin CLUSTER  The programs of the version the cluster was made with, else the newest.
pg_bin() {
  if [[ -f $1/PG_VERSION ]]; then
    local bin
    bin=/usr/lib/postgresql/$(<"$1/PG_VERSION")/bin
    [[ -x $bin/postgres ]] || die "$1 needs PostgreSQL $(<"$1/PG_VERSION"), which is gone: scripts/services clean"
    echo "$bin"
  else
    compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1
  fi
}

pg_ctl() { # CLUSTER ARGUMENT...
  local cluster=$1
  shift
  # From / because the user may not be able to enter the directory we were called in.
  (cd / && run_as postgres "$(pg_bin "$cluster")/pg_ctl" -D "$cluster" "$@" >&2)
}

pg_port() { sed -n 4p "$1/cluster/postmaster.pid"; } # DIR

# The process in the pid file, if it is alive (not merely uncollected, which a container's process 1 may leave a killed server
# for ever) and really ours: pg_ctl takes whoever has that number by now for the server.
pg_pid() { # DIR
  local pid
  pid=$(head -n 1 "$1/cluster/postmaster.pid" 2>/dev/null) && [[ $pid =~ ^[0-9]+$ ]] || return 1
  grep -qzxF -- "$1/cluster" "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"
}

pg_init() { # CLUSTER
  say "PostgreSQL: making a private cluster in $1"
  local new=$1.new
  rm -rf "$new" # left by a run that was interrupted
  (cd / && run_as postgres "$(pg_bin "$1")/initdb" -D "$new" -U postgres --auth=trust \
    --encoding=UTF8 --locale=C.UTF-8 >/dev/null)
  echo "include_if_exists = 'private.conf'" >>"$new/postgresql.conf"
  mv "$new" "$1"
}

pg_settings() { # PORT DIR
  local socket=$2
  ((${#socket} < 90)) || socket='' # a longer path does not fit into a socket's address: TCP only
  cat <<CONF
# Written by scripts/services at every start.
listen_addresses = '127.0.0.1'
port = $1
unix_socket_directories = '${socket//\'/\'\'}'
max_connections = 300
CONF
}

pg_start() { # DIR
  pg_pid "$1" >/dev/null || rm -f "$1/cluster/postmaster.pid" # or it would be believed
  pg_ctl "$1/cluster" start --silent --wait --timeout=60 --log="$1/server.log" 2>/dev/null
}

private_postgres() {
  local dir cluster port
  dir=$(service_dir postgresql postgres)
  cluster=$dir/cluster
  if ! pg_pid "$dir" >/dev/null; then
    [[ -f $cluster/PG_VERSION ]] || pg_init "$cluster"
    port=$(same_port "$(sed -n 's/^port = //p' "$cluster/private.conf" 2>/dev/null)" "$pg_first_port")
    say "PostgreSQL: starting a private one at 127.0.0.1:$port, data in $dir"
    pg_settings "$port" "$dir" >"$cluster/private.conf"
    chmod a+r "$cluster/private.conf"
    # More than once: the children of a killed server hold its memory for some moments more.
    wait_for 20 pg_start "$dir" ||
      die "private PostgreSQL did not start, see $dir/server.log"
  fi
  port=$(pg_port "$dir")
  wait_for 60 pg_lets_in "$port" postgres || die "private PostgreSQL does not answer, see $dir/server.log"
  say "PostgreSQL: the private one at 127.0.0.1:$port"
  echo "postgres://postgres@127.0.0.1:$port/postgres"
}

# SIGINT is its fast way; it waits for no client.
stop_private_postgres() { in_each_place postgresql end_process PostgreSQL INT pg_pid; }

status_postgres() {
  if pg_lets_in 5432 postgres; then
    echo "PostgreSQL at 127.0.0.1:5432: lets postgres in"
  elif tcp_open 127.0.0.1 5432; then
    echo "PostgreSQL at 127.0.0.1:5432: listens, but does not let postgres in without a password"
  else
    echo "PostgreSQL at 127.0.0.1:5432: not there"
  fi
  status_private postgresql PostgreSQL pg_pid pg_port
}
