package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/earshot-io/earshot/client"
	"github.com/earshot-io/earshot/config"
)

const tutorialTemplate = "../../template/testdata/tutorial.yaml"

// TestImport prints settings that can be loaded, and says what is not as on AWS.
func TestImport(t *testing.T) {
	out, errs := run(t, 0, "import", tutorialTemplate, "--set", "Environment=dev")
	if !strings.HasPrefix(out, "[[apps.gateways]]\nid = ") || strings.Count(errs, "\n") != 3 ||
		!strings.HasPrefix(errs, "tutorial.yaml: RequestAuthorizer (AWS::Serverless::Function): There is neither a Go program nor an executable in ") {
		t.Errorf("got %s\n%s", out, errs)
	}
	file := filepath.Join(t.TempDir(), "earshot.toml")
	run(t, 0, "import", tutorialTemplate, "--set", "Environment=prod", "--set", "Appname=a=b,c;d", "--app", "chat", "--out", file)
	c := config.Default()
	if err := c.Load(file, nil); err != nil {
		t.Fatal(err)
	}
	apps, err := c.Tenants()
	if err != nil {
		t.Fatal(err)
	}
	g := apps[0].Gateways[0]
	if apps[0].Slug != "chat" || g.Name != "a=b,c;d-prod" || !g.Trusted || g.Stages[0].Name != "prod" || len(g.Functions) != 3 || !filepath.IsAbs(g.Functions[0].Source) {
		t.Errorf("got %+v", g)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has keys in it, and the mode %v, %v", info.Mode(), err)
	}
	if out, _ := run(t, 0, "config", "check", file); out != file+" is in order\n" {
		t.Errorf("config check says %s", out)
	}
	run(t, 1, "import", tutorialTemplate, "--set", "Environment=prod", "--out", file)
	for want, args := range map[string][]string{
		"the parameter Environment has no default": {tutorialTemplate},
		"none of dev, staging, prod":               {tutorialTemplate, "--set", "Environment=x"},
		`"Nothing" is set`:                         {tutorialTemplate, "--set", "Environment=dev", "--set", "Nothing=x"},
		"no such file":                             {"nowhere.yaml"},
		"the template is empty":                    {"-"},
	} {
		if _, errs := run(t, 1, append([]string{"import"}, args...)...); !strings.Contains(errs, want) {
			t.Errorf("%v: got %s", args, errs)
		}
	}
}

// TestImportForApps makes an app of a template at run time: its functions are
// elsewhere.
func TestImportForApps(t *testing.T) {
	data := t.TempDir()
	server, _ := dev(t, data)
	devJSON, file := filepath.Join(data, "dev.json"), filepath.Join(data, "chat.json")
	_, errs := run(t, 0, "import", tutorialTemplate, "--set", "Environment=dev", "--endpoint", "https://lambda.us-east-1.amazonaws.com", "--json", "--out", file)
	if errs != "" {
		t.Errorf("it says %s", errs)
	}
	out, _ := run(t, 0, "app", "create", "shop", "--dev", devJSON, "--gateway", file)
	var made client.App
	if err := json.Unmarshal([]byte(out), &made); err != nil || len(made.Gateways) != 1 || made.Gateways[0].Routes[1].Key != "pushtowebsocket" || made.Gateways[0].Functions[0].Name != "RequestAuthorizer" {
		t.Fatalf("%v, %s", err, out)
	}
	one := made.Gateways[0]
	one.Stages[0].Name = "prod"
	text, err := json.Marshal(one) // a single one, too
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ = run(t, 0, "app", "update", "shop", "--dev", devJSON, "--gateway", file); !strings.Contains(out, `"stageName": "prod"`) {
		t.Errorf("updated to %s", out)
	}
	for want, change := range map[string]string{"GATEWAY_FUNCTION": `"endpoint":"x","command":["sh"]`, "unknown field": `"endpont":"x"`} {
		if err := os.WriteFile(file, []byte(strings.Replace(string(text), `"endpoint":"https://lambda.us-east-1.amazonaws.com"`, change, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, errs := run(t, 1, "app", "update", "shop", "--dev", devJSON, "--gateway", file); !strings.Contains(errs, want) {
			t.Errorf("%s: got %s", change, errs)
		}
	}
	if code := server.end(); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
}

// TestDevTemplate runs the tutorial's template with its functions, and has its
// dialogue with them.
func TestDevTemplate(t *testing.T) {
	dir, err := filepath.Abs(tutorial)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(tutorialTemplate)
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	file := filepath.Join(data, "chat.yaml")
	relative, err := filepath.Rel(data, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "./functions/", relative+"/")), 0o600); err != nil {
		t.Fatal(err)
	}
	c := begin(t, "", nil, "dev", "--listen", "127.0.0.1:0", "--data", data, "--template", file, "--set", "Environment=staging")
	c.out.await(t, "Ctrl-C stops.")
	written, err := os.ReadFile(filepath.Join(data, "dev.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f devFile
	if err := json.Unmarshal(written, &f); err != nil || !strings.HasSuffix(f.GatewayURL, "/staging") {
		t.Fatalf("%v, %s", err, written)
	}
	speakTutorial(t, c, &f)
	if code, said := c.end(), c.err.String(); code != 0 || strings.Contains(said, "chat.yaml") {
		t.Errorf("exit code %d, and it says %s", code, said)
	}
	_, errs := run(t, 1, "dev", "--data", data, "--set", "Environment=staging")
	if !strings.Contains(errs, "--set is for a template") {
		t.Errorf("got %s", errs)
	}
}
