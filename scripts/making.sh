# What scripts that make models begin with; they set `root`, the project's folder, and `work`, where everything goes.
cd "$root"
${CARGO:-cargo} build --release -p omnireward
program=$(realpath "${CARGO_TARGET_DIR:-target}/release/omnireward")
mkdir -p "$work" && cd "$work"

# Generates pairs, FOLDER and then settings. Those that are there already are kept, if they were made alike.
pairs() {
    folder=$1
    shift
    [ "$(cat "$folder.made" 2>/dev/null)" = "$*" ] && return
    [ ! -e "$folder" ] || { echo "$work/$folder was made otherwise: remove it" >&2; exit 1; }
    "$program" data synth --layout pairs --out "$folder" "$@"
    echo "$*" > "$folder.made"
}
