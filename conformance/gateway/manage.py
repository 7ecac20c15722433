"""Posts to a connection with boto3, gets it, deletes it, posts again, and prints what
came of it: ENDPOINT CONNECTION DATA. The environment says with which key."""

import json
import sys

import boto3
import botocore.exceptions

endpoint, connection, data = sys.argv[1:]
client = boto3.client("apigatewaymanagementapi", endpoint_url=endpoint)


def attempt(call, **more):
    try:
        return call(ConnectionId=connection, **more)
    except botocore.exceptions.ClientError as e:
        return {"error": e.response["Error"]["Code"], "status": e.response["ResponseMetadata"]["HTTPStatusCode"]}


posted = attempt(client.post_to_connection, Data=data.encode())
got = attempt(client.get_connection)
large = attempt(client.post_to_connection, Data=b"x" * (128 * 1024 + 1))
deleted = attempt(client.delete_connection)
gone = attempt(client.post_to_connection, Data=b"x")
print(json.dumps({
    "posted": posted["ResponseMetadata"]["HTTPStatusCode"],
    "source": got["Identity"]["SourceIp"],
    "ordered": got["ConnectedAt"] <= got["LastActiveAt"],
    "large": large,
    "deleted": deleted["ResponseMetadata"]["HTTPStatusCode"],
    "gone": gone,
}))
