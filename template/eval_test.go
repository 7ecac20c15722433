package template_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/template"
)

// around makes a template whose API is called as the expression says.
func around(name, more string) string {
	return `
Parameters:
  Env: {Type: String, Default: dev}
  Zones: {Type: CommaDelimitedList, Default: "a, b,c"}
Mappings:
  M: {one: {two: three, list: [x, y]}}
Conditions:
  Yes: !Equals [!Ref Env, dev]
  No: !Not [!Condition Yes]
  All: !And [!Condition Yes, !Not [!Condition No], !Equals [!Ref Zones, !Split [",", "a,b,c"]]]
  Any: !Or [!Condition No, !Condition All]
` + more + `
Resources:
  Queue: {Type: AWS::SQS::Queue, Properties: {QueueName: !Sub "jobs-${Env}"}}
  Topic: {Type: AWS::SNS::Topic}
  Table: {Type: AWS::DynamoDB::Table}
  Bucket: {Type: AWS::S3::Bucket, Properties: {BucketName: files}}
  Role: {Type: AWS::IAM::Role}
  Fn: {Type: AWS::Serverless::Function, Properties: {FunctionName: !Sub "${Env}-fn", AutoPublishAlias: now}}
  Version: {Type: AWS::Lambda::Version, Properties: {FunctionName: !GetAtt Fn.Arn}}
  Alias: {Type: AWS::Lambda::Alias, Properties: {FunctionName: !Ref Fn, Name: live}}
  Domain: {Type: AWS::ApiGatewayV2::DomainName, Properties: {DomainName: ws.example.com}}
  Other: {Type: AWS::ApiGatewayV2::Api, Condition: No, Properties: {ProtocolType: WEBSOCKET}}
  Api:
    Type: AWS::ApiGatewayV2::Api
    Properties:
      ProtocolType: WEBSOCKET
      RouteSelectionExpression: $request.body.action
      Name: ` + name + `
  Stage: {Type: AWS::ApiGatewayV2::Stage, Properties: {ApiId: !Ref Api, StageName: !Ref Env}}
`
}

// TestFunctions evaluates every function, in short and long form.
func TestFunctions(t *testing.T) {
	const lambda = "arn:aws:lambda:us-east-1:000000000000:function:"
	for expression, want := range map[string]string{
		"plain": "plain", `"quoted"`: "quoted", "3": "3", "1.50": "1.50", "true": "true", "False": "false", `"False"`: "False", "~": "", "2010-09-09": "2010-09-09", "": "", "!Ref AWS::NoValue": "",
		"!Ref Env": "dev", "{Ref: Env}": "dev", "!Ref AWS::Region": "us-east-1", "!Ref AWS::AccountId": "000000000000", "!Ref AWS::StackName": "earshot",
		"!Ref AWS::Partition": "aws", "!Ref AWS::URLSuffix": "amazonaws.com", "!Ref AWS::StackId": "arn:aws:cloudformation:us-east-1:000000000000:stack/earshot/0",
		`!Sub "${Env}-${AWS::Region}-${!Literal}-$x-${Fn.Arn}"`:                  "dev-us-east-1-${Literal}-$x-" + lambda + "dev-fn",
		`!Sub ["${a}/${ b }/${Env}", {a: !Ref Env, b: !Select [0, !Ref Zones]}]`: "dev/a/dev",
		`!Sub "open ${Env"`:                              "open ${Env",
		`{"Fn::Sub": "${Env}"}`:                          "dev",
		`!Join ["-", [a, !Ref Env, b]]`:                  "a-dev-b",
		`!Join ["", !Ref Zones]`:                         "abc",
		`!Join [",", !Ref AWS::NotificationARNs]`:        "",
		`{"Fn::Join": ["/", [a, {Ref: Env}]]}`:           "a/dev",
		`!Join ["+", [a, !Ref AWS::NoValue, b]]`:         "a+b",
		`!Select [1, [a, b]]`:                            "b",
		`!Select ["2", !Ref Zones]`:                      "c",
		`!Select [1, !Split ["|", "x|y|z"]]`:             "y",
		`!Select [0, !GetAZs ""]`:                        "us-east-1a",
		`!FindInMap [M, one, two]`:                       "three",
		`!Select [1, !FindInMap [M, one, list]]`:         "y",
		`!FindInMap [M, one, no, {DefaultValue: other}]`: "other",
		`!If [Yes, a, b]`:                                "a", `!If [No, a, b]`: "b", `!If [All, a, b]`: "a", `!If [Any, a, b]`: "a",
		`!If [No, !Ref Nothing, b]`:                   "b",
		`!Base64 hello`:                               "aGVsbG8=",
		`!Length [a, b]`:                              "2",
		`!ToJsonString {a: [1, "x\ny"], b: !Ref Env}`: `{"a":["1","x\ny"],"b":"dev"}`,
		`!GetAtt Fn.Arn`:                              lambda + "dev-fn",
		`!GetAtt [Fn, Arn]`:                           lambda + "dev-fn",
		`!Ref Fn`:                                     "dev-fn",
		`!Ref Fn.Alias`:                               lambda + "dev-fn:now",
		`!Ref Fn.Version`:                             lambda + "dev-fn:1",
		`!Ref Alias`:                                  lambda + "dev-fn:live",
		`!Ref Version`:                                lambda + "dev-fn:1",
		`!Ref Stage`:                                  "dev",
		`!Ref Api.Stage`:                              "dev",
		`!Ref Domain`:                                 "ws.example.com",
		`!Ref Queue`:                                  "https://sqs.us-east-1.amazonaws.com/000000000000/jobs-dev",
		`!GetAtt Queue.Arn`:                           "arn:aws:sqs:us-east-1:000000000000:jobs-dev",
		`!GetAtt Queue.QueueName`:                     "jobs-dev",
		`!GetAtt Queue.QueueUrl`:                      "https://sqs.us-east-1.amazonaws.com/000000000000/jobs-dev",
		`!Ref Topic`:                                  "arn:aws:sns:us-east-1:000000000000:Topic",
		`!GetAtt Topic.TopicArn`:                      "arn:aws:sns:us-east-1:000000000000:Topic",
		`!Ref Table`:                                  "Table",
		`!GetAtt Table.Arn`:                           "arn:aws:dynamodb:us-east-1:000000000000:table/Table",
		`!GetAtt Table.StreamArn`:                     "Table.StreamArn",
		`!GetAtt Bucket.Arn`:                          "arn:aws:s3:::files",
		`!GetAtt Role.Arn`:                            "arn:aws:iam::000000000000:role/Role",
		`!ImportValue anything`:                       "anything",
		`!Sub "${Api}" # the id`:                      "j490qd2n1k",
		`!Join [x, [*b, *b]]`:                         "devxdev",
		`!GetAtt Api.ApiId`:                           "j490qd2n1k",
		`!GetAtt Api.ApiEndpoint`:                     "wss://j490qd2n1k.execute-api.us-east-1.amazonaws.com",
	} {
		got, err := template.Read([]byte(around(expression, "Metadata: {b: &b !Ref Env}")), template.Options{})
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if name := got.Gateways[0].Name; name != want {
			t.Errorf("%s: got %q, want %q", expression, name, want)
		}
	}
}

// TestWrong tells what is wrong, and where.
func TestWrong(t *testing.T) {
	for expression, want := range map[string]string{
		"!Ref Nothing":              `Api.Name: line 29: there is no parameter or resource "Nothing"`,
		"!Ref [a]":                  "a list",
		"!Ref Other":                "Other is referred to, and its condition is not met",
		"[a]":                       "line 29: a text is expected, not a list",
		"!Sub [a]":                  "Fn::Sub has a text",
		"!Sub {a: b}":               "a text is expected, not an object",
		`!Sub "${Zones}"`:           "${Zones} is a list, not a text",
		`!Sub "${a.b}"`:             `"a"`,
		"!Join [a]":                 "Fn::Join has a separator",
		"!Join [a, [{b: c}]]":       "Fn::Join: line 29: a text is expected",
		"!Split [a]":                "Fn::Split has",
		`!Split ["", a]`:            "Fn::Split has",
		"!Select [9, [a]]":          `"9" is not an index of a list of 1`,
		"!Select [a]":               "Fn::Select has",
		"!FindInMap [M, a, b]":      "the mappings have no M, a, b",
		"!FindInMap [M]":            "Fn::FindInMap has",
		"!If [Yes, a]":              "Fn::If has",
		"!If [Maybe, a, b]":         `there is no condition "Maybe"`,
		"!GetAtt Fn":                "Fn::GetAtt has",
		"!GetAtt Nothing.Arn":       `there is no parameter or resource "Nothing"`,
		"!Ref Queue.Alias":          "there is no resource Queue.Alias",
		"!Cidr [a, 1, 2]":           "Fn::Cidr is not called here",
		"!Transform {Name: a}":      "Fn::Transform is not called here",
		"!ImportValue [a]":          "the name of an export",
		"a\n  Api: {}":              `the key "Api" stands there twice`,
		"a\n      <<: 3":            "an object to merge",
		"*nobody":                   "anchor",
		"a\n---\nb: c":              "more than one document",
		"a\n\x00":                   "control",
		"a\n      ? [k]\n      : v": "a key is a text",
	} {
		_, err := template.Read([]byte(around(expression, "")), template.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", expression, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "empty", "a": "a template is an object", "[]": "a list", "{}": "no Resources", "Resources: []": "no Resources", "# nothing": "empty",
		"Resources: {a: {}}": "a: it has no Type", "Resources: {a: {Type: T, Properties: x}}": "a: line 1: an object of Properties",
		"{Resources: {a: {Type: T, Condition: C}}}":                                                                 "there is no condition",
		"{Resources: {'Fn::ForEach::x': []}}":                                                                       "loops",
		"{Parameters: {P: {Type: Number, Default: x}}, Resources: {}}":                                              "the parameter P: the value is not a number",
		"{Parameters: {P: {Type: Number, Default: 3, MaxValue: 2, ConstraintDescription: too big}}, Resources: {}}": "more than 2  (too big)",
		"{Parameters: {P: {Default: abc, MinLength: 4}}, Resources: {}}":                                            "less than 4 characters",
		"{Parameters: {P: {Default: abc, AllowedPattern: '[0-9]+'}}, Resources: {}}":                                "does not match [0-9]+",
		"{Parameters: {P: {}, Q: {}}, Resources: {}}":                                                               "the parameter P has no default: set it\nthe parameter Q has no default: set it",
		"{Conditions: {A: !Condition B, B: !Condition A}, Resources: {a: {Type: T, Condition: A}}}":                 `the condition "A" depends on itself`,
		"{Conditions: {A: {a: b}}, Resources: {a: {Type: T, Condition: A}}}":                                        "the condition A: line 1: a condition is expected",
		`{"Resources": {"a": {"Type": "T"}, "a": {"Type": "T"}}}`:                                                   `the key "a" stands there twice`,
	} {
		_, err := template.Read([]byte(text), template.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// TestHostile ends with an error, soon, whatever refers to itself or grows.
func TestHostile(t *testing.T) {
	deep := strings.Repeat("[", 3000) + strings.Repeat("]", 3000)
	bomb, doubling, nested := "Metadata:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n", "", "x"
	for i := 1; i < 12; i++ {
		bomb += fmt.Sprintf("  a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	for i := range 60 {
		doubling += fmt.Sprintf("  F%d: {Type: AWS::Lambda::Function, Properties: {FunctionName: !Sub '${F%d}${F%d}'}}\n", i, i+1, i+1)
	}
	for range 28 {
		nested = "!Sub ['${a}${a}', {a: " + nested + "}]"
	}
	for what, c := range map[string]struct{ text, want string }{
		"depth":              {around(deep, ""), "levels"},
		"depth in JSON":      {`{"Resources": ` + strings.Repeat(`[`, 3000) + strings.Repeat(`]`, 3000) + `}`, "levels"},
		"aliases":            {around("a", bomb), "nodes"},
		"an alias in itself": {around("a", "Metadata: &m {m: *m}"), ""},
		"names in a ring":    {around("!Ref A", "") + "  A: {Type: T, Properties: {TName: !Ref B}}\n  B: {Type: T, Properties: {TName: !Ref A}}\n", "depends on itself"},
		"a name of itself":   {around("!Ref A", "") + "  A: {Type: AWS::Lambda::Function, Properties: {FunctionName: !GetAtt A.Arn}}\n", "depends on itself"},
		"names that double":  {around("!Ref F0", "") + doubling + "  F60: {Type: AWS::Lambda::Function, Properties: {FunctionName: xxxxxxxxxx}}\n", "longer than"},
		"texts that double":  {around(nested, ""), "steps"},
		"many steps":         {around("!Join ['', ["+strings.TrimSuffix(strings.Repeat("!Ref Env, ", 9000), ", ")+"]]", ""), ""},
		"many resources":     {around("a", "") + resources(1000), "more than 1000 resources"},
		"size":               {strings.Repeat("#", 2<<20), "bytes"},
	} {
		got, err := template.Read([]byte(c.text), template.Options{})
		switch {
		case c.want == "" && err == nil && len(got.Gateways) != 1, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %.300v, want %s", what, err, c.want)
		}
	}
}

func resources(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  R%d: {Type: T}\n", i)
	}
	return b.String()
}

// FuzzRead: whatever is read, it ends, and what it makes can be served.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"tutorial.yaml", "chat.yaml", "sam.yaml", "chat.json"} {
		f.Add(text(f, name))
	}
	f.Add([]byte(around("!Sub ['${a}', {a: !Select [0, !Split [',', 'a,b']]}]", "")))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := template.Read(b, template.Options{Set: map[string]string{"Environment": "dev"}})
		if err != nil {
			return
		}
		for i := range got.Gateways {
			if err := gateway.Check(&got.Gateways[i]); err != nil {
				t.Error(err)
			}
		}
	})
}
