#!/usr/bin/env bash
# Makes a database of one folder of prepare.py: trains vectors on what may train, loads everything, activates.
#
#   benches/quality/load.sh OUT/lastfm/test DATABASE --alpha0 .05 --lambda .03
#
# Further arguments go to `segue train als`. SEGUE names the program.
set -euo pipefail
folder=$1 database=$2
shift 2
segue=${SEGUE:-target/release/segue}
"$segue" train als --plays "$folder/counts.parquet" --out "$folder/model" "$@"
"$segue" load tracks "$folder/tracks.parquet" --data "$database"
"$segue" load users "$folder/users.parquet" --data "$database"
"$segue" load plays "$folder/plays.parquet" --data "$database"
if [[ -f $folder/audio.parquet ]]; then
    "$segue" load vectors "$folder/audio.parquet" --space audio --data "$database"
fi
"$segue" generation load "$folder/model" --activate --data "$database"
