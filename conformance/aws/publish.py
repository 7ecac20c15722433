"""Invokes a function with boto3 and prints what came of it: ENDPOINT FUNCTION PAYLOAD."""

import json
import sys

import boto3
import botocore.exceptions

endpoint, function, payload = sys.argv[1:]
client = boto3.client("lambda", endpoint_url=endpoint)
try:
    out = client.invoke(FunctionName=function, Payload=payload.encode())
except botocore.exceptions.ClientError as e:
    print(json.dumps({"error": e.response["Error"]["Code"], "status": e.response["ResponseMetadata"]["HTTPStatusCode"]}))
else:
    print(json.dumps({
        "status": out["StatusCode"],
        "function_error": out.get("FunctionError"),
        "payload": json.loads(out["Payload"].read()),
    }))
