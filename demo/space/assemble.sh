#!/bin/sh
# The folder of a Space: assemble.sh PYTHON FOLDER
#
# The wheel carries the package, the manifest, the bundled weights, the samples and the page.
set -eu
python=$1
folder=$2
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

mkdir -p "$folder"
rm -f "$folder"/cspine_zoo-*.whl # of another version
"$python" -m build --wheel --no-isolation --outdir "$folder" "$root"
cp "$here/Dockerfile" "$here/install.sh" "$here/README.md" "$root/constraints.txt" "$folder"
# The hub takes large binary files through Git LFS only.
echo '*.whl filter=lfs diff=lfs merge=lfs -text' >"$folder/.gitattributes"
