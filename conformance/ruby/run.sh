#!/usr/bin/env bash
# Runs the Ruby gem and hotsock-turbo against Earshot.
#
#   HOTSOCK_RUBY   a checkout of github.com/hotsock/hotsock-ruby
#   HOTSOCK_TURBO  a checkout of github.com/hotsock/hotsock-turbo; with it,
#                  HOTSOCK_JS, a checkout of github.com/hotsock/hotsock-js
#   RUBYLIB        where Ruby finds jwt, aws-sdk-lambda and what that needs, unless
#                  they are installed (gem install jwt:2.10.1 aws-sdk-lambda)
#
# What is not there is skipped, and said. Turbo's part also wants the railties,
# activejob and webrick of Debian (ruby-railties, ruby-activejob, ruby-webrick).
set -euo pipefail
cd "$(dirname "$0")/.."

make --no-print-directory -C .. build
[ -d node_modules ] || npm ci --no-audit --no-fund --loglevel=error
if [ -n "${HOTSOCK_RUBY:-}" ] && ! command -v ruby >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ruby ruby-railties ruby-activejob ruby-webrick >/dev/null
fi
node --test --test-concurrency=1 ruby
