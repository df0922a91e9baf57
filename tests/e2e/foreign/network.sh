#!/usr/bin/env bash
# A cluster-shaped network that the lab's code has no part in: other names, addresses, ports, a bridge per node, nft
# instead of iptables, and servers from Debian (dnsmasq, socat, openssl). Agents are started with `mesh probe`, and
# what `mesh run --inventory` needs is written to DIR/inventory.yaml.
#
#   network.sh up DIR MESH      raise it, with agents from the binary MESH
#   network.sh exec DIR NS ...  run a command in a namespace: sw, alpha, pod-alpha, server-alpha ...
#   network.sh down DIR         take it down
#
# Names of namespaces begin with a prefix kept in DIR/prefix, so several can stand side by side.
set -euo pipefail

nodes=(alpha beta gamma)
declare -A name=([alpha]=alpha.rack-7.example [beta]=BETA_2 [gamma]=gamma--3)
declare -A number=([alpha]=11 [beta]=12 [gamma]=13)
declare -A subnet=([alpha]=100.72.31 [beta]=100.72.8 [gamma]=100.72.200)
vxlan_port=4799
responder_port=19441

command=${1:?up, exec or down}
dir=${2:?a directory}

ns() { ip netns exec "$prefix-$1" "${@:2}"; }

start() { # NAME NAMESPACE COMMAND...: in the background, its process id in DIR/pids
  local log=$dir/$1.log space=$2
  shift 2
  ip netns exec "$prefix-$space" "$@" >"$log" 2>&1 </dev/null &
  echo $! >>"$dir/pids"
}

node_up() {
  local node=$1 ip=198.51.100.${number[$1]} net=${subnet[$1]} other
  ip netns add "$prefix-$node"
  ns "$node" ip link set lo up
  ip -n "$prefix-sw" link add "to-$node" type veth peer name uplink0 netns "$prefix-$node"
  ip -n "$prefix-sw" link set "to-$node" master fabric up
  ns "$node" ip addr add "$ip/24" dev uplink0
  ns "$node" ip link set uplink0 up
  ns "$node" ip route add default via 198.51.100.1
  ns "$node" ip link add podbr type bridge
  ns "$node" ip addr add "$net.1/24" dev podbr
  ns "$node" ip link set podbr mtu 1450 up
  pod_up "$node" pod cni7 "$net" "$net.5/24"
  pod_up "$node" server cni8 "$net" "$net.7/24" "$net.9/24"
  ns "$node" ip link add tun7 type vxlan id 7 dstport $vxlan_port local "$ip" dev uplink0 nolearning
  ns "$node" ip addr add "$net.0/32" dev tun7
  ns "$node" ip link set tun7 address "02:00:00:00:07:${number[$node]}" mtu 1450 up
  for other in "${nodes[@]}"; do
    [ "$other" = "$node" ] && continue
    ns "$node" ip neigh add "${subnet[$other]}.0" lladdr "02:00:00:00:07:${number[$other]}" dev tun7 nud permanent
    ns "$node" bridge fdb add "02:00:00:00:07:${number[$other]}" dev tun7 dst "198.51.100.${number[$other]}"
    ns "$node" ip route add "${subnet[$other]}.0/24" via "${subnet[$other]}.0" dev tun7 onlink
  done
  ns "$node" sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
  services "$node" | ns "$node" nft -f -
}

pod_up() { # NODE KIND PORT SUBNET ADDRESS...: agents stand in `pod`, what the services lead to in `server`
  local node=$1 pod=$2-$1 port=$3 net=$4 address
  shift 4
  ip netns add "$prefix-$pod"
  ns "$pod" ip link set lo up
  ns "$node" ip link add "$port" type veth peer name eth0 netns "$prefix-$pod"
  ns "$node" ip link set "$port" mtu 1450 master podbr up
  for address in "$@"; do ns "$pod" ip addr add "$address" dev eth0; done
  ns "$pod" ip link set eth0 mtu 1450 up
  ns "$pod" ip route add default via "$net.1"
}

services() {
  local local_rule='drop'
  [ "$1" = beta ] && local_rule="dnat to ${subnet[beta]}.9:8081"
  cat <<RULES
table ip services {
  chain translate {
    ip daddr 10.43.0.1 tcp dport 443 dnat to 198.51.100.11:8443
    ip daddr 10.43.0.10 udp dport 53 dnat to numgen random mod 2 map { 0 : ${subnet[alpha]}.7, 1 : ${subnet[gamma]}.7 }
    ip daddr 10.43.0.10 tcp dport 53 dnat to numgen random mod 2 map { 0 : ${subnet[alpha]}.7, 1 : ${subnet[gamma]}.7 }
    fib daddr type local tcp dport 31555 meta mark set 7 dnat to ${subnet[beta]}.9:8080
    fib daddr type local udp dport 31556 $local_rule
  }
  chain prerouting { type nat hook prerouting priority dstnat; jump translate; }
  chain output { type nat hook output priority -100; jump translate; }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    meta mark 7 masquerade
    oifname "tun7" ip saddr != 100.72.0.0/16 masquerade
    ip saddr 100.72.0.0/16 ip daddr != 100.72.0.0/16 masquerade
  }
}
RULES
}

servers() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=foreign-api \
    -keyout "$dir/api.key" -out "$dir/api.crt" 2>/dev/null
  start api alpha openssl s_server -accept 8443 -key "$dir/api.key" -cert "$dir/api.crt" -quiet
  local node
  for node in alpha gamma; do
    start "dns-$node" "server-$node" dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null \
      --pid-file= --listen-address="${subnet[$node]}.7" --bind-interfaces \
      --address=/kubernetes.default.svc.cluster.local/10.43.0.1
  done
  start echo-tcp server-beta socat "TCP-LISTEN:8080,bind=${subnet[beta]}.9,fork,reuseaddr,backlog=128" PIPE
  # socat would fork for each datagram, and lose some.
  start echo-udp server-beta python3 -c "
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(('${subnet[beta]}.9', 8081))
while True:
    server.sendto(*server.recvfrom(65535))"
}

agents() {
  local node plane space address
  : >"$dir/inventory.yaml"
  echo "agents:" >>"$dir/inventory.yaml"
  for node in "${nodes[@]}"; do
    for plane in host pod; do
      space=$node address=198.51.100.${number[$node]}
      [ $plane = pod ] && space=pod-$node address=${subnet[$node]}.5
      start "agent-$node-$plane" "$space" "$mesh" probe --node "${name[$node]}" --plane $plane \
        --listen "unix:$dir/$node-$plane.sock" --responder-port $responder_port
      echo "  - {node: ${name[$node]}, plane: $plane, address: $address, link: \"unix:$dir/$node-$plane.sock\"}" \
        >>"$dir/inventory.yaml"
    done
  done
  cat >>"$dir/inventory.yaml" <<YAML
cluster:
  api: {address: 10.43.0.1, port: 443, endpoints: ["198.51.100.11:8443"]}
  dns:
    address: 10.43.0.10
    name: kubernetes.default.svc.cluster.local
    endpoints:
      - {address: ${subnet[alpha]}.7, node: ${name[alpha]}}
      - {address: ${subnet[gamma]}.7, node: ${name[gamma]}}
  node_ports:
    - {port: 31555, protocol: tcp, policy: Cluster, backends: [{address: ${subnet[beta]}.9, node: ${name[beta]}}]}
    - {port: 31556, protocol: udp, policy: Local, backends: [{address: ${subnet[beta]}.9, node: ${name[beta]}}]}
  overlay: {kind: vxlan, port: $vxlan_port}
YAML
}

wait_until_ready() { # every agent says `ready`, every server listens
  local log
  for log in "$dir"/agent-*.log; do
    timeout 20 grep -q ready <(tail -n +1 -f "$log") || { echo "no agent: $(cat "$log")" >&2; exit 1; }
  done
  listens alpha 'sport = :8443' && listens server-beta 'sport = :8080' && listens server-beta 'sport = :8081'
  listens server-alpha 'sport = :53' && listens server-gamma 'sport = :53'
}

listens() {
  timeout 20 bash -c 'until [ -n "$(ip netns exec "$1" ss -Hltun "$2")" ]; do read -rt 0.05 <> <(:) || :; done' _ \
    "$prefix-$1" "$2" || { echo "nothing listens in $1: $2" >&2; exit 1; }
}

case $command in
up)
  mesh=${3:?the mesh binary}
  mkdir -p "$dir"
  prefix=foreign-$$
  echo "$prefix" >"$dir/prefix"
  ip netns add "$prefix-sw"
  ip -n "$prefix-sw" link set lo up
  ip -n "$prefix-sw" link add fabric type bridge
  ip -n "$prefix-sw" addr add 198.51.100.1/24 dev fabric
  ip -n "$prefix-sw" link set fabric up
  for node in "${nodes[@]}"; do node_up "$node"; done
  servers
  agents
  wait_until_ready
  ;;
exec)
  prefix=$(cat "$dir/prefix")
  space=$3
  shift 3
  exec ip netns exec "$prefix-$space" "$@"
  ;;
down)
  prefix=$(cat "$dir/prefix")
  while read -r pid; do kill -9 "$pid" 2>/dev/null || :; done <"$dir/pids"
  ip netns list | awk -v prefix="$prefix-" 'index($1, prefix) == 1 { print $1 }' |
    while read -r space; do
      ip netns pids "$space" | xargs -r kill -9 2>/dev/null || :
      ip netns del "$space"
    done
  ;;
*)
  echo "up, exec or down" >&2
  exit 2
  ;;
esac
