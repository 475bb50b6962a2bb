#!/usr/bin/env bash
# Unpacks a Mesa that runs SPIR-V kernels into the folder given, and prints the file that leads
# Vulkan to it (for VK_DRIVER_FILES). Prints nothing where the machine's own driver is new enough:
# Debian 12 has Mesa 22.3, which crashes on them, and 25.0 in its backports.
set -euo pipefail
folder=$(realpath "$1")
package=mesa-vulkan-drivers

installed=$(dpkg-query --show --showformat '${Version}' $package 2>/dev/null) || exit 0
dpkg --compare-versions "$installed" lt 24 || exit 0

# The backports of the release, from the mirror that the machine's packages come from.
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Release: $release" | awk 'NR == 1')
mkdir -p "$folder/lists/partial"
echo "deb $mirror $release-backports main" >"$folder/backports.list"
apt() {
    apt-get --quiet --quiet -o Dir::Etc::SourceList="$folder/backports.list" \
        -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$folder/lists" \
        -o APT::Sandbox::User=root "$@" >&2
}
cd "$folder"
apt update
apt download $package
dpkg --extract $package*.deb .

# Beside the libraries that the installed one brought with it.
driver=usr/share/vulkan/icd.d/lvp_icd*.json
sed --in-place "s|\"library_path\": \"|&$folder/usr/lib/$(uname -m)-linux-gnu/|" $driver
realpath $driver
