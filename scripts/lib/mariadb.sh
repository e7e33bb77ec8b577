# shellcheck shell=bash
# MariaDB, for the tests of what works with payees' databases: is one there that lets root in, and a private one when not.

maria_first_port=23306 # below 32768, as the others

# maria_lets_in PORT  The handshake as root without a password: the server's greeting, our response, and OK (a zero byte)
# is its yes. No client program needed, so it also works against a server in a container.
maria_lets_in() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  timeout 5 bash -c '
    set -eo pipefail
    hex() { head -c "$1" <&3 | od -An -v -tx1 | tr -d " \n"; }
    exec 3<>"/dev/tcp/127.0.0.1/$0"
    length=$(hex 4)
    head -c $((16#${length:4:2}${length:2:2}${length:0:2})) <&3 >/dev/null
    # Protocol 4.1, secure connection, named plugin; packets to 16 MiB; utf8mb4; user, no password, plugin.
    capabilities="\0\x82\x08\0" zeros="\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    response="$capabilities\0\0\0\x01\x2d${zeros}root\0\0mysql_native_password\0"
    printf "\x3c\0\0\x01$response" >&3
    answer=$(hex 5)
    [[ ${answer:8:2} == 00 ]]
  ' "$1" 2>/dev/null
}

standard_mariadb() {
  maria_lets_in 3306 || return 1
  say "MariaDB: the one at 127.0.0.1:3306, as root"
  echo "mysql://root@127.0.0.1:3306/mysql"
}

mariadb_installed() { [[ -x /usr/sbin/mariadbd ]] && have mariadb-install-db; }

maria_port() { sed -n 's/^port = //p' "$1/private.cnf"; }

maria_pid() { process_of mariadbd cmdline "--defaults-file=$1/private.cnf"; } # DIR

maria_settings() { # PORT DIR
  local socket=$2/socket
  ((${#socket} < 100)) || socket=/var/tmp/unigate-mariadb-$1.sock # a longer path does not fit into an address
  cat <<CONF
# Written by scripts/services at every start.
[mysqld]
datadir = $2/data
port = $1
bind-address = 127.0.0.1
socket = $socket
pid-file = $2/pid
log-error = $2/server.log
max_connections = 300
character-set-server = utf8mb4
skip-name-resolve
# Tests and what they write are thrown away: no more is kept on disk than a killed server needs.
innodb_flush_log_at_trx_commit = 2
innodb_buffer_pool_size = 64M
innodb_log_file_size = 16M
performance_schema = OFF
CONF
}

maria_init() { # DIR
  say "MariaDB: making a private one in $1"
  rm -rf "$1/data.new" # left by a run that was interrupted
  (cd / && run_as mysql mariadb-install-db --no-defaults --datadir="$1/data.new" \
    --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve >"$1/install.log" 2>&1) ||
    die "private MariaDB could not be made, see $1/install.log"
  mv "$1/data.new" "$1/data"
}

maria_start() { # DIR
  # In a session of its own and away from our streams, so that it outlives the caller and holds no pipe open.
  (cd / && run_as mysql setsid --fork env -i "PATH=$PATH" LANG=C.UTF-8 \
    /usr/sbin/mariadbd "--defaults-file=$1/private.cnf") >"$1/start.log" 2>&1 </dev/null
}

private_mariadb() {
  local dir port
  dir=$(service_dir mariadb mysql)
  if ! maria_pid "$dir" >/dev/null; then
    [[ -d $dir/data ]] || maria_init "$dir"
    port=$(same_port "$(maria_port "$dir" 2>/dev/null)" "$maria_first_port")
    say "MariaDB: starting a private one at 127.0.0.1:$port, data in $dir"
    maria_settings "$port" "$dir" >"$dir/private.cnf"
    chmod a+r "$dir/private.cnf"
    maria_start "$dir"
  fi
  port=$(maria_port "$dir")
  wait_for 60 maria_lets_in "$port" || die "private MariaDB does not answer, see $dir/server.log"
  say "MariaDB: the private one at 127.0.0.1:$port"
  echo "mysql://root@127.0.0.1:$port/mysql"
}

stop_private_mariadb() { in_each_place mariadb end_process MariaDB TERM maria_pid; }

status_mariadb() {
  if maria_lets_in 3306; then
    echo "MariaDB at 127.0.0.1:3306: lets root in"
  elif tcp_open 127.0.0.1 3306; then
    echo "MariaDB at 127.0.0.1:3306: listens, but does not let root in without a password"
  else
    echo "MariaDB at 127.0.0.1:3306: not there"
  fi
  status_private mariadb MariaDB maria_pid maria_port
}
