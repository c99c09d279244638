# What the scripts in this directory share. They source it first: it ends them at
# the first error, and goes to the top of the module.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# have COMMAND: whether there is such a command.
have() { command -v "$1" >/dev/null 2>&1; }

# install PACKAGE...: installs packages of the system, without questions.
install() {
	local as=()
	if [ "$(id -u)" != 0 ]; then
		as=(sudo -n)
	fi
	if ! have apt-get || { [ "${#as[@]}" != 0 ] && ! sudo -n true; }; then
		echo "$0: missing, and cannot be installed by this user: $*" >&2
		exit 1
	fi
	"${as[@]}" apt-get update -qq </dev/null
	"${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
		--no-install-recommends "$@" </dev/null
}

# say COMMAND...: shows a command and runs it.
say() {
	echo "+ $*"
	"$@"
}
