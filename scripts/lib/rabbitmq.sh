# shellcheck shell=bash
# RabbitMQ: is one there that lets guest in, and a private one when not.

rabbit_server=/usr/lib/rabbitmq/bin/rabbitmq-server # the wrapper in /usr/sbin refuses other users
# Below 32768, and away from 25672: the standard broker's own port for talking to its command line.
rabbit_first_port=24672
rabbit_first_dist_port=25673
rabbit_first_epmd_port=24369

# rabbit_lets_in PORT  The handshake as guest: protocol header, Connection.Start back, Connection.StartOk,
# and Connection.Tune (class 10, method 30) is the broker's yes.
rabbit_lets_in() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  timeout 10 bash -c '
    set -eo pipefail
    hex() { head -c "$1" <&3 | od -An -v -tx1 | tr -d " \n"; }
    exec 3<>"/dev/tcp/127.0.0.1/$0"
    printf "AMQP\0\0\x09\x01" >&3
    start=$(hex 7)
    [[ ${start:0:2} == 01 ]]
    head -c $((16#${start:6:8} + 1)) <&3 >/dev/null
    start_ok="\0\x0a\0\x0b\0\0\0\0\x05PLAIN\0\0\0\x0c\0guest\0guest\x05en_US"
    printf "\x01\0\0\0\0\0\x24$start_ok\xce" >&3
    answer=$(hex 11)
    [[ ${answer:14:8} == 000a001e ]]
  ' "$1" 2>/dev/null
}

standard_rabbitmq() {
  rabbit_lets_in 5672 || return 1
  say "RabbitMQ: the one at 127.0.0.1:5672, as guest"
  echo "amqp://guest:guest@127.0.0.1:5672/%2f"
}

rabbitmq_installed() { [[ -x $rabbit_server ]]; }

# The script that is started becomes the broker.
rabbit_pid() { # DIR
  process_of rabbitmq-server environ "RABBITMQ_PID_FILE=$1/pid" || process_of beam.smp environ "RABBITMQ_PID_FILE=$1/pid"
}

rabbit_port() { cat "$1/port"; } # DIR

# rabbit_environment DIR  Nothing of the caller's environment but PATH: it may speak of another broker. RUNNING_UNDER_SYSTEMD keeps
# the script from staying beside the broker, where it would be taken for one that starts when the broker was killed.
rabbit_environment() {
  printf '%s\n' "PATH=$PATH" LANG=C.UTF-8 "HOME=$1" \
    "ERL_EPMD_PORT=$(<"$1/epmd_port")" ERL_EPMD_ADDRESS=127.0.0.1 \
    RABBITMQ_NODENAME=unigate@localhost \
    "RABBITMQ_DIST_PORT=$(<"$1/dist_port")" \
    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}" \
    "RABBITMQ_MNESIA_BASE=$1/mnesia" "RABBITMQ_LOG_BASE=$1/log" "RABBITMQ_PID_FILE=$1/pid" \
    "RABBITMQ_CONFIG_FILE=$1/rabbitmq.conf" "RABBITMQ_CONF_ENV_FILE=$1/rabbitmq-env.conf" \
    "RABBITMQ_ENABLED_PLUGINS_FILE=$1/enabled_plugins" RUNNING_UNDER_SYSTEMD=true
}

# The broker's name server outlives it. It obeys only when no node is registered with it any more.
rabbit_stop_epmd() { # DIR
  [[ -f $1/epmd_port ]] || return 0
  ERL_EPMD_PORT=$(<"$1/epmd_port") epmd -kill >/dev/null 2>&1 || true
}

rabbit_choose_port() { # FILE FIRST
  local port
  port=$(same_port "$(cat "$1" 2>/dev/null)" "$2")
  echo "$port" >"$1"
}

rabbit_settings() { # DIR
  rabbit_stop_epmd "$1" # left by a broker that was killed
  rabbit_choose_port "$1/port" "$rabbit_first_port"
  rabbit_choose_port "$1/dist_port" "$rabbit_first_dist_port"
  rabbit_choose_port "$1/epmd_port" "$rabbit_first_epmd_port"
  echo "listeners.tcp.private = 127.0.0.1:$(<"$1/port")" >"$1/rabbitmq.conf"
  echo "[]." >"$1/enabled_plugins"
  : >"$1/rabbitmq-env.conf" # empty, or the system's own would be read
  if [[ $EUID -eq 0 ]]; then chown -R rabbitmq "$1"; fi
}

rabbit_start() { # DIR
  rabbit_settings "$1"
  say "RabbitMQ: starting a private one at 127.0.0.1:$(<"$1/port"), data in $1"
  local environment
  mapfile -t environment < <(rabbit_environment "$1")
  ulimit -n 65536 2>/dev/null || true
  # In a session of its own and away from our streams, so that it outlives the caller and holds no pipe open.
  (cd / && run_as rabbitmq setsid --fork env -i "${environment[@]}" "$rabbit_server") \
    >"$1/start.log" 2>&1 </dev/null
}

private_rabbitmq() {
  local dir
  dir=$(service_dir rabbitmq rabbitmq)
  rabbit_pid "$dir" >/dev/null || rabbit_start "$dir"
  wait_for 120 rabbit_lets_in "$(<"$dir/port")" ||
    die "private RabbitMQ does not answer, see $dir/start.log and $dir/log"
  say "RabbitMQ: the private one at 127.0.0.1:$(<"$dir/port")"
  echo "amqp://guest:guest@127.0.0.1:$(<"$dir/port")/%2f"
}

rabbit_stop() { # DIR
  end_process RabbitMQ TERM rabbit_pid "$1" # on SIGTERM it closes its queues
  rabbit_stop_epmd "$1"                     # also one left by a broker that was killed
}

stop_private_rabbitmq() { in_each_place rabbitmq rabbit_stop; }

status_rabbitmq() {
  if rabbit_lets_in 5672; then
    echo "RabbitMQ at 127.0.0.1:5672: lets guest in"
  elif tcp_open 127.0.0.1 5672; then
    echo "RabbitMQ at 127.0.0.1:5672: listens, but does not let guest in"
  else
    echo "RabbitMQ at 127.0.0.1:5672: not there"
  fi
  status_private rabbitmq RabbitMQ rabbit_pid rabbit_port
}
