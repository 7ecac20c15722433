package template

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// readParameters takes the values that are set, else the defaults.
func (s *stack) readParameters() {
	all := s.root.member("Parameters")
	if all == nil {
		return
	}
	if all.kind != object {
		s.fail(fmt.Errorf("the Parameters: %w", all.expected("an object")))
		return
	}
	for _, name := range all.keys {
		p := all.members[name]
		value, ok := s.Set[name]
		if !ok {
			if d := p.member("Default"); d != nil && d.kind == text {
				value, ok = d.text, true
			}
		}
		if !ok {
			s.fail(fmt.Errorf("the parameter %s has no default: set it", name))
			value = "unset"
		} else if err := allowed(p, value); err != nil {
			s.fail(fmt.Errorf("the parameter %s: %w%s", name, err, constraint(p)))
		}
		s.parameters[name] = s.typed(name, p, value)
	}
}

// constraint is what the template says of a value that is not allowed.
func constraint(p *node) string {
	if d := p.member("ConstraintDescription"); d != nil && d.kind == text {
		return " (" + d.text + ")"
	}
	return ""
}

// typed makes the value of a parameter: a list, if that is its type.
func (s *stack) typed(name string, p *node, value string) *node {
	t := ""
	if m := p.member("Type"); m != nil {
		t = m.text
	}
	if strings.HasPrefix(t, "AWS::SSM::Parameter::Value") {
		if _, ok := s.Set[name]; !ok {
			s.find(nil, "The parameter %s names a value in the Systems Manager, which is not asked: set it.", name)
		}
	}
	if t != "CommaDelimitedList" && !strings.HasPrefix(t, "List<") && !strings.HasPrefix(t, "AWS::SSM::Parameter::Value<List<") && t != "AWS::SSM::Parameter::Value<CommaDelimitedList>" {
		return textNode(value)
	}
	n := listNode()
	for part := range strings.SplitSeq(value, ",") {
		n.list = append(n.list, textNode(strings.TrimSpace(part)))
	}
	return n
}

// allowed checks a value against what its parameter says. A value that must not
// be shown stands in no error.
func allowed(p *node, value string) error {
	if all := p.member("AllowedValues"); all != nil && all.kind == list {
		values := make([]string, len(all.list))
		for i, n := range all.list {
			values[i] = n.text
		}
		if !slices.Contains(values, value) {
			return fmt.Errorf("the value is none of %s", strings.Join(values, ", "))
		}
	}
	if m := p.member("AllowedPattern"); m != nil && m.kind == text {
		// Patterns of Java that Go does not have are not judged.
		if pattern, err := regexp.Compile(`^(?:` + m.text + `)$`); err == nil && !pattern.MatchString(value) {
			return fmt.Errorf("the value does not match %s", m.text)
		}
	}
	if err := between(p, "MinLength", "MaxLength", "characters", float64(len(value))); err != nil {
		return err
	}
	if t := p.member("Type"); t == nil || t.text != "Number" {
		return nil
	}
	number, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return fmt.Errorf("the value is not a number")
	}
	return between(p, "MinValue", "MaxValue", "", number)
}

func between(p *node, least, most, what string, value float64) error {
	if n, ok := bound(p, least); ok && value < n {
		return fmt.Errorf("the value has less than %v %s", n, what)
	}
	if n, ok := bound(p, most); ok && value > n {
		return fmt.Errorf("the value has more than %v %s", n, what)
	}
	return nil
}

func bound(p *node, name string) (float64, bool) {
	m := p.member(name)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(m.text, 64)
	return n, err == nil
}

// pseudo is the value of a pseudo parameter; ok if name is one.
func (s *stack) pseudo(name string) (value *node, ok bool) {
	partition, suffix := "aws", "amazonaws.com"
	if strings.HasPrefix(s.Region, "cn-") {
		partition, suffix = "aws-cn", "amazonaws.com.cn"
	}
	switch name {
	case "AWS::Region":
		return textNode(s.Region), true
	case "AWS::AccountId":
		return textNode(s.Account), true
	case "AWS::StackName":
		return textNode(s.Stack), true
	case "AWS::StackId":
		return textNode("arn:" + partition + ":cloudformation:" + s.Region + ":" + s.Account + ":stack/" + s.Stack + "/0"), true
	case "AWS::Partition":
		return textNode(partition), true
	case "AWS::URLSuffix":
		return textNode(suffix), true
	case "AWS::NotificationARNs":
		return listNode(), true
	case "AWS::NoValue":
		return noValue, true
	}
	return nil, false
}

// noValue takes away what it stands for.
var noValue = &node{}
