"""Does with boto3 what its lines of input say, and prints what came of each: ENDPOINT.

A line is [operation, arguments] in JSON; without an endpoint boto3 takes it from its
environment. The last line tells how many requests were sent.
"""

import json
import sys

import boto3
import botocore.exceptions

client = boto3.client("apigatewaymanagementapi", endpoint_url=sys.argv[1] or None)
sent = 0


def count(**_):
    global sent
    sent += 1


client.meta.events.register("before-send.*.*", count)
for line in sys.stdin:
    operation, arguments = json.loads(line)
    try:
        out = getattr(client, operation)(**arguments)
    except botocore.exceptions.ClientError as e:
        known = getattr(client.exceptions, e.response["Error"]["Code"], None)
        print(json.dumps({
            "error": e.response["Error"]["Code"],
            "status": e.response["ResponseMetadata"]["HTTPStatusCode"],
            "typed": known is not None and isinstance(e, known),
        }))
    else:
        status = out.pop("ResponseMetadata")["HTTPStatusCode"]
        print(json.dumps({"status": status, **out}, default=lambda v: v.isoformat()))
print(json.dumps({"sent": sent, "version": boto3.__version__}))
