#!/usr/bin/env bash
# Runs Earshot against real clients. Installs what it needs: the npm packages
# of the lock file and, for the page, Debian's chromium.
#
# HOTSOCK_JS=path of a checkout of hotsock-js adds its tests; ruby/run.sh says
# what the Ruby gem and hotsock-turbo need. boto3, AWS's command line and curl are
# tested where they are there.
set -euo pipefail
cd "$(dirname "$0")"

make --no-print-directory -C .. build
npm ci --no-audit --no-fund --loglevel=error
if ! command -v chromium >/dev/null; then
  echo "installing chromium for the browser tests"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
fi
node --test --test-concurrency=1 "$@"
