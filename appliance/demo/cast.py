"""Core: the people and places of the demonstration practice. None of them exists."""

from __future__ import annotations

from dataclasses import dataclass

PRACTICE = "Juniper Street Clinic"
DOMAIN = "clinic.example"
SECURE_DOMAIN = "hospital.example"
SECURE_MX = "mx.hospital.example"
PLAIN_DOMAIN = "home.example"
PLAIN_MX = "mx.home.example"


@dataclass(frozen=True)
class Person:
    """One member of the cast. ``role`` is a staff role, or ``patient``."""

    name: str
    email: str
    role: str


STAFF = (
    Person("Dr. Elena Ruiz", "ruiz@clinic.example", "clinician"),
    Person("Sam Okafor", "frontdesk@clinic.example", "frontdesk"),
    Person("Margaret Lind", "records@clinic.example", "records"),
    Person("Joseph Adler", "approver@clinic.example", "approver"),
    Person("Priya Nair", "admin@clinic.example", "admin"),
)
CLINICIAN, FRONT_DESK, RECORDS, APPROVER, ADMIN = STAFF

PATIENTS = (
    Person("Rosa Delgado", "rosa@home.example", "patient"),
    Person("Henry Whitlock", "henry@home.example", "patient"),
)
ROSA, HENRY = PATIENTS

COLLEAGUE = Person("Dr. Ann Sorensen", "sorensen@hospital.example", "outside")

SCHEDULE = """\
[category.clinical]
title = "Clinical correspondence"
retain = "10 years"
clock = "receipt"
citation = "state medical-record law; check with your state"

[category.hipaa]
title = "HIPAA documentation"
retain = "6 years"
clock = "receipt"
citation = "45 CFR 164.316(b)(2)(i)"

[category.appointments]
title = "Appointments"
retain = "2 years"
clock = "receipt"
citation = "practice policy"

[category.transitory]
title = "Transitory mail"
retain = "0 days"
clock = "receipt"
citation = "practice policy"

[[rule]]
category = "clinical"
match = 'subject:referral OR "lab result" OR "chest pain"'

[[rule]]
category = "hipaa"
match = "authorization OR subject:privacy"

[[rule]]
category = "appointments"
match = "appointment"

[[rule]]
category = "transitory"
match = "subject:newsletter"
"""
