"""A bucket of the tests' MinIO under credentials that may add, read and list, and neither overwrite nor delete."""

from __future__ import annotations

import secrets
from base64 import b64encode
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

from minio import MinioAdmin
from minio.credentials.providers import StaticProvider

from mailstore import object_store_url
from mailstore.backup_target_s3 import S3Target
from mailstore.s3_bucket import S3Bucket
from mailstore.s3_credentials import CredentialsFile
from tests.s3_servers import S3Server

MAY_ADD = ("s3:PutObject", "s3:GetObject")
MAY_LOOK = ("s3:ListBucket", "s3:GetBucketLocation")
MAY_SEE_RULES = "s3:GetLifecycleConfiguration"


@dataclass(frozen=True)
class AddOnlyBucket:
    """The bucket: ``all_powerful`` is its server's owner."""

    url: str
    credentials_file: Path
    all_powerful: S3Bucket

    def target(self) -> S3Target:
        bucket = S3Bucket(object_store_url.parsed(self.url), CredentialsFile(self.credentials_file))
        return S3Target(bucket)

    def expire(self, prefix: str, days: int) -> None:
        """Give the bucket a lifecycle rule."""
        rule = (
            f"<Rule><ID>r</ID><Status>Enabled</Status><Filter><Prefix>{prefix}</Prefix></Filter>"
            f"<Expiration><Days>{days}</Days></Expiration></Rule>"
        )
        body = f"<LifecycleConfiguration>{rule}</LifecycleConfiguration>".encode()
        headers = {"Content-MD5": _md5(body)}
        self.all_powerful.request("PUT", None, body=body, headers=headers, query={"lifecycle": ""})


def made(server: S3Server, folder: Path, *, may_see_rules: bool = True) -> AddOnlyBucket:
    """A fresh bucket with a fresh user of the server."""
    bucket = server.bucket()
    name = bucket.url.bucket
    access, secret = f"adder{secrets.token_hex(6)}", secrets.token_hex(20)
    admin = MinioAdmin(
        endpoint=f"127.0.0.1:{server.port}",
        credentials=StaticProvider(server.access_key, server.secret_key),
        secure=False,
    )
    admin.user_add(access, secret)
    admin.policy_add(f"add-{name}", policy=_policy(name, may_see_rules=may_see_rules))
    admin.policy_set(f"add-{name}", user=access)
    credentials = folder / f"{name}-credentials"
    credentials.write_text(f"{access}\n{secret}\n", "ascii")
    credentials.chmod(0o600)
    return AddOnlyBucket(server.url(name), credentials, bucket)


def _policy(name: str, *, may_see_rules: bool) -> dict[str, Any]:
    on_bucket = [*MAY_LOOK, *([MAY_SEE_RULES] if may_see_rules else [])]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": list(MAY_ADD), "Resource": [f"arn:aws:s3:::{name}/*"]},
            {"Effect": "Allow", "Action": on_bucket, "Resource": [f"arn:aws:s3:::{name}"]},
        ],
    }


def _md5(body: bytes) -> str:
    return b64encode(md5(body, usedforsecurity=False).digest()).decode()
