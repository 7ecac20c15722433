package function

import (
	"os"
	"slices"
	"strconv"
	"time"
)

// passedOn are the variables of this process that functions get too. The others
// are the server's own: its settings may have secrets.
func passedOn() []string { return []string{"PATH", "TMPDIR", "SSL_CERT_DIR"} }

// noProxy are the addresses that functions reach by themselves: those of their
// own machine, on which the Runtime API is.
const noProxy = "localhost,127.0.0.1,::1"

// environment is that of the process. What the function's own says counts, but
// for the address of the Runtime API.
func (i *instance) environment(api string) []string {
	all := map[string]string{}
	for _, name := range passedOn() {
		if v, ok := os.LookupEnv(name); ok {
			all[name] = v
		}
	}
	i.lambda(all)
	i.credentials(all)
	i.network(all)
	for name, v := range i.pool.fn.Environment {
		all[name] = v
	}
	all["AWS_LAMBDA_RUNTIME_API"] = api
	list := make([]string, 0, len(all))
	for name, v := range all {
		list = append(list, name+"="+v)
	}
	slices.Sort(list)
	return list
}

// lambda adds what Lambda says to every function.
func (i *instance) lambda(all map[string]string) {
	f := i.pool.fn
	region := or(i.pool.gate.Region, "us-east-1")
	for name, v := range map[string]string{
		"AWS_REGION": region, "AWS_DEFAULT_REGION": region, "AWS_EXECUTION_ENV": "AWS_Lambda_provided.al2023",
		"AWS_LAMBDA_FUNCTION_NAME": f.Name, "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(or(f.MemoryMB, defaultMemory)),
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + f.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME":      time.Now().UTC().Format("2006/01/02/") + "[$LATEST]" + i.id,
		"LAMBDA_TASK_ROOT":                i.pool.dir, "_HANDLER": or(f.Handler, "bootstrap"), "LANG": "en_US.UTF-8", "TZ": ":UTC",
		"AWS_EC2_METADATA_DISABLED": "true",
	} {
		all[name] = v
	}
}

// credentials adds the app's key, unless the function has credentials of its own.
func (i *instance) credentials(all map[string]string) {
	key, ok := i.pool.host.config.Keys[i.pool.app]
	if _, own := i.pool.fn.Environment["AWS_ACCESS_KEY_ID"]; own || !ok {
		return
	}
	all["AWS_ACCESS_KEY_ID"], all["AWS_SECRET_ACCESS_KEY"] = key.ID, key.Secret
}

// network adds the proxy, and the certificates that its own stands among, by the
// names that Go, the AWS SDKs, Node, Python and curl know.
func (i *instance) network(all map[string]string) {
	p := i.pool.host.proxy
	address := p.address(i)
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"} {
		all[name] = address
	}
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		all[name] = noProxy
	}
	for _, name := range []string{"SSL_CERT_FILE", "AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"} {
		all[name] = p.bundle
	}
	all["NODE_USE_ENV_PROXY"] = "1" // Node looks at the proxy only if it is told to
}
