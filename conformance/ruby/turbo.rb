# frozen_string_literal: true

# A small Rails application with the unmodified hotsock-turbo: a page that shows a
# list, and POST /broadcast, which changes it. It prints its address. Arguments:
# dev.json, and the JavaScript files of hotsock-js, hotsock-turbo and Turbo.

require "json"
require "logger"
require "rails"
require "action_controller/railtie"
require "action_view/railtie"
require "active_job/railtie"
require "rack/handler/webrick"

DEV = JSON.parse(File.read(ARGV.fetch(0)))
SCRIPTS = {"hotsock.js" => ARGV.fetch(1), "hotsock-turbo.js" => ARGV.fetch(2), "turbo.js" => ARGV.fetch(3)}.freeze

# hotsock-turbo wants to see turbo-rails, of which it uses nothing on the way of a
# broadcast.
module Turbo
  class StreamsChannel; end
end

require "hotsock-turbo"

class Site < Rails::Application
  config.eager_load = false
  config.secret_key_base = "not a secret"
  config.hosts.clear
  config.logger = Logger.new(IO::NULL)
  config.active_job.queue_adapter = :inline
end

class ApplicationController < ActionController::Base
  protect_from_forgery with: :exception
  helper_method :hotsock_uid

  private

  def hotsock_uid
    "jim"
  end
end

class PagesController < ApplicationController
  skip_forgery_protection only: %i[broadcast script]

  PAGE = <<~HTML
    <!doctype html>
    <head>
      <%= csrf_meta_tags %>
      <%= hotsock_turbo_meta_tags(connect_token_path: "/hotsock/connect", wss_url: DEV["ws_url"]) %>
      <script type="importmap">{"imports": {"@hotsock/hotsock-js": "/scripts/hotsock.js"}}</script>
      <script type="module">
        import * as Turbo from "/scripts/turbo.js"
        window.Turbo = Turbo
        await import("/scripts/hotsock-turbo.js")
      </script>
    </head>
    <body>
      <%= hotsock_turbo_stream_from("board", params[:board]) %>
      <ul id="list"></ul><p id="state">none</p>
    </body>
  HTML

  def show
    render inline: PAGE
  end

  def script
    send_file SCRIPTS.fetch(params[:name]), type: "text/javascript", disposition: "inline"
  end

  def broadcast
    change = JSON.parse(request.raw_post, symbolize_names: true)
    how = change.delete(:later) ? :broadcast_action_later_to : :broadcast_action_to
    Hotsock::Turbo::StreamsChannel.public_send(how, "board", params[:board], **change)
    head :no_content
  end
end

Hotsock.configure do |config|
  config.publish_function_arn = DEV["function_arn"]
  config.aws_region = DEV["aws_region"]
  config.aws_access_key_id = DEV["aws_access_key_id"]
  config.aws_secret_access_key = DEV["aws_secret_access_key"]
  config.issuer_private_key = DEV["signing_key"]
  config.issuer_key_algorithm = DEV["signing_alg"]
  config.issuer_key_id = DEV["signing_key_id"]
  config.issuer_token_ttl = 600
end

Site.initialize!
Site.routes.draw do
  mount Hotsock::Turbo::Engine => "/hotsock"
  get "/boards/:board", to: "pages#show"
  post "/boards/:board/broadcast", to: "pages#broadcast"
  get "/scripts/:name", to: "pages#script", constraints: {name: /[^\/]+/}
end

Rack::Handler::WEBrick.run(
  Site, Host: "127.0.0.1", Port: 0, AccessLog: [], Logger: WEBrick::Log.new(IO::NULL)
) do |server|
  $stdout.puts "http://127.0.0.1:#{server.listeners.first.addr[1]}"
  $stdout.flush
  Signal.trap("TERM") { server.shutdown }
end
