package function

import (
	"net"
	"slices"
	"strings"

	"github.com/earshot-io/earshot"
)

// ours reports whether a host with its port is the server itself for a process:
// the name that AWS gives a WebSocket API of its app, in whatever region; a host
// or the management domain of one, or a host of the app; and Lambda, unless the
// function brings credentials of its own, for with the app's key it can mean no
// other.
func (p *proxy) ours(i *instance, address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = address, "443"
	}
	host = strings.ToLower(host)
	app := p.apps[i.pool.app]
	if anyOf(app.Hosts, host, port) || slices.ContainsFunc(app.Gateways, func(g earshot.Gateway) bool {
		return anyOf(g.Hosts, host, port) || anyOf([]string{g.ManagementDomain}, host, port)
	}) {
		return true
	}
	if port != "443" && port != "80" {
		return false
	}
	if _, own := i.pool.fn.Environment["AWS_ACCESS_KEY_ID"]; !own && isLambda(host) {
		return true
	}
	id, ok := executeAPI(host)
	return ok && slices.ContainsFunc(app.Gateways, func(g earshot.Gateway) bool { return g.ID == id })
}

// anyOf reports whether an address is one of some names, each perhaps with a port.
// Without one, those of https and http are meant.
func anyOf(names []string, host, port string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		own, ownPort, err := net.SplitHostPort(name)
		if err != nil {
			own, ownPort = name, ""
		}
		return name != "" && strings.EqualFold(own, host) && (ownPort == port || ownPort == "" && (port == "443" || port == "80"))
	})
}

// executeAPI returns the apiId of {apiId}.execute-api.{region}.amazonaws.com, or
// of China's .amazonaws.com.cn.
func executeAPI(host string) (id string, ok bool) {
	parts := strings.Split(awsName(host), ".")
	if len(parts) != 3 || parts[1] != "execute-api" || parts[2] == "" {
		return "", false
	}
	return parts[0], true
}

func isLambda(host string) bool {
	parts := strings.Split(awsName(host), ".")
	return len(parts) == 2 && parts[0] == "lambda" && parts[1] != ""
}

// awsName is what stands before AWS's domain, empty for a host of others.
func awsName(host string) string {
	for _, domain := range []string{".amazonaws.com", ".amazonaws.com.cn"} {
		if name, ok := strings.CutSuffix(host, domain); ok {
			return name
		}
	}
	return ""
}
