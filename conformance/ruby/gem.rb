# frozen_string_literal: true

# Does with the unmodified Hotsock gem what a Ruby application does. Each line of
# standard input is a call as JSON, each line of standard output what came of it.
# dev.json, whose path is the argument, and the environment configure the gem.

require "json"
require "hotsock"

dev = JSON.parse(File.read(ARGV.fetch(0)))

# configured is the gem with a configuration of its own.
def configured(settings)
  config = Hotsock::Config.new
  settings.each { |name, value| config.public_send("#{name}=", value) }
  config
end

base = {
  "publish_function_arn" => dev["function_arn"], "aws_region" => dev["aws_region"],
  "aws_access_key_id" => dev["aws_access_key_id"], "aws_secret_access_key" => dev["aws_secret_access_key"],
  "issuer_private_key" => dev["signing_key"], "issuer_key_algorithm" => dev["signing_alg"],
  "issuer_key_id" => dev["signing_key_id"], "issuer_token_ttl" => 600
}

def publish(config, options)
  options = options.transform_keys(&:to_sym)
  out = Hotsock::Publisher.new(config).publish_message(**options)
  {
    status: out.status_code, function_error: out.function_error, executed_version: out.executed_version,
    payload: JSON.parse(out.payload.read)
  }
end

$stdin.each_line do |line|
  call = JSON.parse(line)
  config = configured(base.merge(call["config"] || {}))
  answer =
    begin
      case call["do"]
      when "publish" then publish(config, call["options"])
      when "issue" then {token: Hotsock::Issuer.new(config).issue_token(call["claims"].transform_keys(&:to_sym))}
      when "issue_strings" then {token: Hotsock::Issuer.new(config).issue_token(call["claims"])}
      end
    rescue => e
      {error: e.class.name, message: e.message}
    end
  $stdout.puts JSON.dump(answer)
  $stdout.flush
end
