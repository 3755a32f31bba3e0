#!/usr/bin/env bash
# Fetches the one library that the dashboard uses, Chart.js, from the npm registry into ui/vendor/, with its licence. The
# files are committed; this says where they come from. Checks the package's hash.
#
# usage: ui/vendor.sh [--check]     --check: compares ui/vendor/ with the package, and changes nothing
set -euo pipefail
cd "$(dirname "$0")"

version=4.5.0
hash=aYeC/jDgSEx8SHWZvANYMioYMZ2KX02W6f6uVfyteuCGcadDLcYVHdfdygsTQkQ4TKn5lghoojAsPj5pu0SnvQ==

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
curl --fail --silent --show-error --location --output "$folder/package.tgz" \
    "https://registry.npmjs.org/chart.js/-/chart.js-$version.tgz"
found=$(openssl dgst -sha512 -binary "$folder/package.tgz" | base64 --wrap=0)
if [ "$found" != "$hash" ]; then
    echo "ui/vendor.sh: the package's SHA-512 is $found, expected $hash" >&2
    exit 1
fi
tar -xzf "$folder/package.tgz" -C "$folder" package/dist/chart.umd.js package/LICENSE.md
# The source map isn't shipped: without this line no browser asks for it.
sed -i '/^\/\/# sourceMappingURL=/d' "$folder/package/dist/chart.umd.js"
if [ "${1:-}" = --check ]; then
    cmp "$folder/package/dist/chart.umd.js" vendor/chart.umd.js
    cmp "$folder/package/LICENSE.md" vendor/chart.LICENSE.md
    exit
fi
mkdir -p vendor
cp "$folder/package/dist/chart.umd.js" vendor/chart.umd.js
cp "$folder/package/LICENSE.md" vendor/chart.LICENSE.md
