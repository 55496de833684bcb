# Sourced by full/prometheus*.sh, after lib_cli.sh: a Prometheus of one's own, configured as shipped but for its times, and what it has.
# shellcheck shell=bash disable=SC2154
tools=$APIARY_SOURCE/tools/prometheus

own_port()
{
    local inode
    for inode in $(find "/proc/$prometheus/fd" -lname 'socket:*' -printf '%l\n' | grep -o '[0-9]*'); do
        awk -v i="$inode" '$4 == "0A" && $10 == i { print $2 }' /proc/net/tcp /proc/net/tcp6
    done | sed -n 's/.*://p' | head -1
}
query() # query EXPRESSION: its one value, as a whole number
{
    python3 - "$at" "$1" <<'END'
import json, sys, urllib.parse, urllib.request
url = f"http://127.0.0.1:{sys.argv[1]}/api/v1/query?" + urllib.parse.urlencode({"query": sys.argv[2]})
found = json.load(urllib.request.urlopen(url, timeout=600))["data"]["result"]
print(round(float(found[0]["value"][1])) if found else "none")
END
}
is() { [ "$(query "$1")" = "$2" ]; }

listens() { [ -n "$(own_port)" ]; }
scrape() # scrape PORT: one begins to scrape the coordinator there, each second; its pid is in $prometheus
{
    sed "s/127.0.0.1:4100/127.0.0.1:$1/; s/scrape_interval: .*/scrape_interval: 1s/; s|alerts.yaml|$tools/alerts.yaml|" "$tools/prometheus.yaml" >"$folder/prometheus.yaml"
    start "$folder/prometheus" prometheus --config.file "$folder/prometheus.yaml" --storage.tsdb.path "$folder/tsdb" --web.listen-address 127.0.0.1:0
    prometheus=$last
    until_true listens
    at=$((16#$(own_port)))
    export at
}
