"""Makes the bucket, and an access key that may use this bucket and nothing else. Run as root where the store is.

    prepare_bucket.py ENDPOINT BUCKET ROOT_ENVIRONMENT CREDENTIALS [GROUP]

ROOT_ENVIRONMENT is the file that the server reads its root key from. CREDENTIALS, which GROUP may read, gets the access
key and the secret, a line each; when it is there already, its key is made anew in the server unless it is in force.
Prints "changed" when anything was done. No secret is ever on a command line.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from minio import Minio
from minio.credentials import StaticProvider
from minio.error import MinioAdminException
from minio.minioadmin import MinioAdmin

ON_THE_BUCKET = ("GetBucketLocation", "ListBucket", "ListBucketVersions", "ListBucketMultipartUploads")
ON_THE_BUCKET_TOO = ("GetBucketVersioning", "GetBucketObjectLockConfiguration")
ON_OBJECTS = (
    *("GetObject", "GetObjectVersion", "PutObject", "DeleteObject", "DeleteObjectVersion", "AbortMultipartUpload"),
    *("GetObjectRetention", "PutObjectRetention", "GetObjectLegalHold", "PutObjectLegalHold"),
)
"""Not BypassGovernanceRetention: whoever steals the key cannot destroy what is locked."""


def main(endpoint: str, bucket: str, root_environment: str, credentials: str, group: str = "root") -> str:
    """Do what is missing. Says whether anything was."""
    told = dict(line.split("=", 1) for line in Path(root_environment).read_text("utf-8").splitlines() if "=" in line)
    provider = StaticProvider(told["MINIO_ROOT_USER"], told["MINIO_ROOT_PASSWORD"])
    key, secret, is_new = _key_pair(Path(credentials), group)
    made = _make_bucket(Minio(endpoint=endpoint, credentials=provider, secure=False), bucket)
    allowed = _allow(MinioAdmin(endpoint=endpoint, credentials=provider, secure=False), bucket, key, secret)
    return "changed" if is_new or made or allowed else "unchanged"


def _key_pair(path: Path, group: str) -> tuple[str, str, bool]:
    if path.exists():
        key, secret = path.read_text("ascii").split()
        return key, secret, False
    key, secret = f"strongroom-{secrets.token_hex(6)}", secrets.token_hex(24)
    unfinished = path.with_suffix(".new")
    with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o640), "w") as file:
        file.write(f"{key}\n{secret}\n")
    shutil.chown(unfinished, "root", group)
    unfinished.rename(path)
    return key, secret, True


def _make_bucket(server: Minio, bucket: str) -> bool:
    if server.bucket_exists(bucket_name=bucket):
        return False
    server.make_bucket(bucket_name=bucket, object_lock=True)
    return True


def _allow(admin: MinioAdmin, bucket: str, key: str, secret: str) -> bool:
    """A policy of this bucket's name, and a user that has it."""
    policy = _policy(bucket)
    try:
        is_in_force = json.loads(admin.user_info(key)).get("policyName") == bucket
    except MinioAdminException:
        is_in_force = False
    if is_in_force and _in_order(json.loads(admin.policy_info(bucket))) == policy["Statement"]:
        return False
    admin.policy_add(bucket, policy=policy)
    if not is_in_force:
        admin.user_add(key, secret)
        admin.policy_set(bucket, user=key)
    return True


def _in_order(policy: dict[str, list[dict[str, Sequence[str]]]]) -> list[dict[str, Sequence[str]]]:
    """Its statements; the server gives the actions of each in any order."""
    return [{**each, "Action": sorted(each["Action"])} for each in policy.get("Statement", [])]


def _policy(bucket: str) -> dict[str, object]:
    arn = f"arn:aws:s3:::{bucket}"
    return {
        "Version": "2012-10-17",
        "Statement": [_allowed((*ON_THE_BUCKET, *ON_THE_BUCKET_TOO), arn), _allowed(ON_OBJECTS, f"{arn}/*")],
    }


def _allowed(actions: tuple[str, ...], resource: str) -> dict[str, object]:
    return {"Effect": "Allow", "Action": sorted(f"s3:{name}" for name in actions), "Resource": [resource]}


if __name__ == "__main__":
    sys.stdout.write(main(*sys.argv[1:]) + "\n")
