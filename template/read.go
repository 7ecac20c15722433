package template

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/gateway"
)

// Options say what a template does not.
type Options struct {
	// Set are values of parameters, by their names; of resources that are not made
	// here, by their logical ids or logical id, dot and attribute; and of exports of
	// other stacks, by their names. A name that is none of these is an error.
	Set map[string]string
	// Region, Account and Stack are AWS::Region, AWS::AccountId and AWS::StackName:
	// us-east-1, 000000000000 and earshot, if empty.
	Region, Account, Stack string
	// Dir is the directory that the functions' code is relative to; its directories
	// are looked at, not read. What it makes is absolute, unless Dir is empty.
	Dir string
	// Endpoint is the address of a service with Lambda's API that has all functions;
	// empty runs here those that can be.
	Endpoint string
}

// A Finding is something that does not behave as on AWS.
type Finding struct {
	// Resource is the logical id, or several with commas between; empty for the
	// template itself. Type is its type.
	Resource, Type string
	// Text says what, and what to do.
	Text string
}

// String returns it as a line.
func (f Finding) String() string {
	if f.Resource == "" {
		return f.Text
	}
	return f.Resource + " (" + f.Type + "): " + f.Text
}

// A Result is what a template makes.
type Result struct {
	// Gateways are its WebSocket APIs, with the functions that they call, in the
	// template's order. Each passes gateway.Check. None is Trusted.
	Gateways []earshot.Gateway
	// Findings say what does not behave as on AWS, in the template's order.
	Findings []Finding
}

// Read reads a template in YAML or JSON. It fails with all that is wrong, a line
// each.
func Read(text []byte, o Options) (*Result, error) {
	root, err := parse(text)
	if err != nil {
		return nil, err
	}
	if o.Dir != "" {
		if o.Dir, err = filepath.Abs(o.Dir); err != nil {
			return nil, err
		}
	}
	s := newStack(root, o)
	s.readParameters()
	s.readConditions()
	s.readResources()
	var all []earshot.Gateway
	if len(s.wrong) == 0 {
		s.survey()
		all = s.gateways()
		s.checkSet()
	}
	for i := range all {
		var problems gateway.Problems
		if err := gateway.Check(&all[i]); len(s.wrong) == 0 && errors.As(err, &problems) {
			for _, p := range problems {
				s.fail(fmt.Errorf("the API %s, %s: %s", cmp.Or(all[i].Name, all[i].ID), p.Path, p.Text))
			}
		}
	}
	if len(s.wrong) > 0 {
		return nil, errors.Join(s.wrong...)
	}
	return &Result{all, s.findings}, nil
}

// A stack is a template that is being evaluated.
type stack struct {
	Options
	root       *node
	parameters map[string]*node
	conditions map[string]*condition
	mappings   *node
	// resources are those that there are, order their logical ids; absent those
	// whose condition is not met.
	resources map[string]*resource
	order     []string
	absent    map[string]bool
	// used are the names of Set that mean something.
	used map[string]bool
	// missed are resources that are not made here and that something evaluated since
	// it was emptied refers to.
	missed []string
	// invoked are functions that variables of the one at hand name: it may call them.
	invoked []string

	steps, bytes, depth int
	wrong               []error
	findings            []Finding
}

// A resource is one of the template's.
type resource struct {
	name, kind string
	props      *node
	// ref is its physical id once it is known, and busy says that it is being found.
	ref  *string
	busy bool
}

func newStack(root *node, o Options) *stack {
	o.Region, o.Account = cmp.Or(o.Region, "us-east-1"), cmp.Or(o.Account, "000000000000")
	o.Stack = cmp.Or(o.Stack, "earshot")
	s := &stack{
		Options: o, root: root, parameters: map[string]*node{}, conditions: map[string]*condition{}, mappings: root.member("Mappings"),
		resources: map[string]*resource{}, absent: map[string]bool{}, used: map[string]bool{},
	}
	return s
}

// maxWrong is how many errors are worth telling.
const maxWrong = 50

func (s *stack) fail(err error) {
	if err != nil && len(s.wrong) < maxWrong {
		s.wrong = append(s.wrong, err)
	}
}

func (s *stack) find(r *resource, format string, args ...any) {
	f := Finding{Text: fmt.Sprintf(format, args...)}
	if r != nil {
		f.Resource, f.Type = r.name, r.kind
	}
	if !slices.Contains(s.findings, f) {
		s.findings = append(s.findings, f)
	}
}

// checkSet refuses values for what is not there: they would be typing errors.
func (s *stack) checkSet() {
	for _, name := range sortedKeys(s.Set) {
		resource, _, _ := strings.Cut(name, ".")
		if !s.used[name] && s.parameters[name] == nil && s.resources[resource] == nil {
			s.fail(fmt.Errorf("%q is set, and is neither a parameter (%s) nor a resource", name, strings.Join(sortedKeys(s.parameters), ", ")))
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
