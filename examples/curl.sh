#!/bin/sh
# Everything that the server can do, with curl alone. Start one first: manzar serve
# sh examples/curl.sh [http://127.0.0.1:8000/v1]
set -eu
API=${1:-http://127.0.0.1:8000/v1}
AUTH="Authorization: Bearer ${MANZAR_SERVE_KEY:-none}"
ask() { curl -sS --fail-with-body -H "$AUTH" "$@"; }
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
wait_for() { # follows the events of a video until it has ended
    ask -N "$API/videos/$1/events" | sed -n 's/.*"progress":\([0-9]*\).*/\1 %/p' >&2
}

echo "a video from a prompt"
ID=$(ask "$API/videos" -F prompt="एक लाल नाव बाईं ओर जाती है।" -F seconds=2 -F seed=7 | field id)
wait_for "$ID"
ask "$API/videos/$ID/content" -o boat.mp4
ask "$API/videos/$ID/content?variant=thumbnail" -o boat.webp

echo "its continuation, by id"
LONGER=$(ask "$API/videos/extensions" -F prompt="A red boat moves to the left." -F seconds=2 -F "video[id]=$ID" | field id)
wait_for "$LONGER"

echo "a change, by upload"
BLUE=$(ask "$API/videos/edits" -F prompt="A blue boat moves to the left." -F video=@boat.mp4 -F strength=0.85 | field id)
wait_for "$BLUE"

echo "the way from one to the other, as JSON"
BOTH=$(ask "$API/videos/connections" -H "Content-Type: application/json" \
    -d "{\"prompt\": \"A boat.\", \"first\": {\"id\": \"$ID\"}, \"last\": {\"id\": \"$BLUE\"}, \"seconds\": 2}" | field id)
wait_for "$BOTH"
ask "$API/videos/$BOTH/content" -o both.mp4

ask "$API/videos?limit=4"
ls -l boat.mp4 boat.webp both.mp4
