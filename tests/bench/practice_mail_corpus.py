#!/usr/bin/env python3
"""Deterministic healthcare-practice-like mail corpus. stdlib only.
usage: practice_mail_corpus.py OUT_DIR [N=20000] [SEED=7]
writes OUT_DIR/maildir/{cur,new,tmp}, OUT_DIR/corpus.mbox, OUT_DIR/docs.jsonl, OUT_DIR/queries.json, OUT_DIR/stats.json"""
import sys, os, random, json, base64, zlib, html, quopri, math, time, collections, re, io
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
OUT = sys.argv[1]; N = int(sys.argv[2]) if len(sys.argv) > 2 else 20000; SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 7
R = random.Random(SEED)
STOP = "the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which one you were all her she there would their we him been has when who will no more if out so said what up its about than into them can only other time new some could these two may first then do any like my now over such our man me even most made after also did many before must through".split()
COMMON = """patient doctor appointment please thank regards visit results test blood pressure prescription pharmacy insurance claim billing record records referral clinic office nurse treatment therapy symptoms pain medication dose daily morning evening week month report chart history allergy diagnosis procedure surgery hospital discharge follow schedule reschedule cancel confirm attached document form signature consent privacy policy portal message secure account number phone call email address date birth provider network authorization prior approval denied appeal coverage copay deductible payment invoice balance statement lab laboratory imaging xray mri ultrasound scan cardiology dermatology oncology pediatrics orthopedic neurology radiology pathology physical exam vaccine immunization influenza infection antibiotic diabetes glucose insulin cholesterol asthma inhaler hypertension migraine anxiety depression counseling sleep weight diet exercise smoking alcohol pregnancy newborn child adult family mother father wife husband emergency contact urgent care review sign note summary plan goal staff meeting agenda minutes training compliance audit hipaa security incident breach risk assessment vendor contract agreement renewal invoice purchase order supplies gloves masks equipment maintenance repair computer printer network password login access request ticket support system update backup server software license""".split()
SYL = [c + v for c in "b c d f g h j k l m n p r s t v w br cl cr dr fl gr pl pr st tr th sh ch".split() for v in "a e i o u ai ea io ou".split()]
END = ["", "n", "r", "s", "t", "l", "m", "x", "tion", "ment", "ing", "ed", "ly", "itis", "osis", "emia", "ology", "al", "ic", "ine", "ol"]
vocab, seen = [], set()
for w in STOP + list(dict.fromkeys(COMMON)):
    if w not in seen: seen.add(w); vocab.append(w)
while len(vocab) < 50000:
    w = "".join(R.choice(SYL) for _ in range(R.choice((1, 2, 2, 2, 3, 3)))) + R.choice(END)
    if len(w) > 2 and w not in seen: seen.add(w); vocab.append(w)
cum, s = [], 0.0
for r in range(len(vocab)):
    s += 1.0 / (r + 2.7) ** 1.02
    cum.append(s)
COLLOC = [tuple(x.split()) for x in ["blood pressure", "prior authorization", "insurance claim", "emergency contact", "lab results", "follow up visit", "prescription refill request", "risk assessment", "physical exam", "privacy policy", "security incident", "discharge summary", "family history", "date of birth", "primary care provider"]]
while len(COLLOC) < 200: COLLOC.append((vocab[R.randrange(300, 3000)], vocab[R.randrange(300, 3000)]))
ccum, s = [], 0.0
for i in range(200): s += 1 / (i + 3); ccum.append(s)
FIRST = "James Mary Robert Patricia John Jennifer Michael Linda David Elizabeth William Barbara Richard Susan Joseph Jessica Thomas Karen Carlos Sarah Daniel Nancy Matthew Lisa Anthony Betty Mark Sandra Paul Ashley Ana Kim Wei Omar Priya Fatima".split()
LAST = "Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez Gonzalez Wilson Anderson Thomas Taylor Moore Jackson Martin Lee Perez Thompson White Harris Sanchez Clark Ramirez Lewis Robinson Walker Young Allen King Wright Scott Torres Nguyen Hill Flores".split()
DOM = ["practice.test"] * 4 + ["citylab.test", "insurer.test", "stmary-hospital.test", "rxpharmacy.test", "mailhost.test", "families.test"]
people = []
ps = set()
while len(people) < 200:
    f, l = R.choice(FIRST), R.choice(LAST)
    if (f, l) in ps: continue
    ps.add((f, l)); d = DOM[len(people) % len(DOM)]
    people.append((f"{f} {l}", f"{f}.{l}".lower() + "@" + d))
staff = [p for p in people if p[1].endswith("practice.test")]
pw = [1 / (i + 4) for i in range(200)]
def words(n):
    out = []
    ws = R.choices(vocab, cum_weights=cum, k=n)
    i = 0
    while i < n:
        if R.random() < 0.02: out.extend(R.choices(COLLOC, cum_weights=ccum)[0])
        out.append(ws[i]); i += 1
    return out
def paras(n):
    ws = words(n); out = []; i = 0
    while i < len(ws):
        para = []
        for _ in range(R.randint(2, 6)):
            k = R.randint(6, 22); sent = ws[i:i + k]; i += k
            if not sent: break
            if R.random() < 0.08: sent.append(str(R.randint(1, 99999)))
            t = " ".join(sent); para.append(t[0].upper() + t[1:] + R.choice("....?!"))
        if para: out.append(" ".join(para))
    return out
def wrap(t, w=76, pre=""):
    lines, cur = [], pre
    for x in t.split(" "):
        if len(cur) + len(x) > w and cur.strip(): lines.append(cur.rstrip()); cur = pre
        cur += x + " "
    lines.append(cur.rstrip()); return lines
def pdf(text):
    objs = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    lines = wrap(text, 90); pages = [lines[i:i + 50] for i in range(0, len(lines), 50)]
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objs.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode())
    objs.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for i, pg in enumerate(pages):
        st = b"BT /F1 10 Tf 40 760 Td 14 TL " + b" ".join(b"(" + l.replace("(", "").replace(")", "").encode() + b") Tj T*" for l in pg) + b" ET"
        z = zlib.compress(st)
        objs.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * i} 0 R >>".encode())
        objs.append(b"<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(z) + z + b"\nendstream")
    b = bytearray(b"%PDF-1.4\n"); offs = []
    for i, o in enumerate(objs): offs.append(len(b)); b += b"%d 0 obj\n" % (i + 1) + o + b"\nendobj\n"
    x = len(b); b += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objs) + 1)
    for o in offs: b += b"%010d 00000 n \n" % o
    b += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objs) + 1, x)
    return bytes(b)
def b64(b): return base64.encodebytes(b).decode().replace("\n", "\r\n")
for d in ("maildir/cur", "maildir/new", "maildir/tmp"): os.makedirs(f"{OUT}/{d}", exist_ok=True)
START = datetime(2024, 1, 1, 7, tzinfo=timezone.utc); SPAN = 731 * 86400
mbox = open(f"{OUT}/corpus.mbox", "wb"); docs = open(f"{OUT}/docs.jsonl", "w")
sizes, textbytes, hist = [], 0, []
df = collections.Counter(); ndf = 0
for n in range(N):
    dt = START + timedelta(seconds=int(SPAN * n / N) + R.randint(0, 1500))
    reply = hist and R.random() < 0.42
    if reply:
        par = R.choice(hist[-400:]); subj = par["subj"] if par["subj"].startswith("Re: ") else "Re: " + par["subj"]
        fr, to = R.choice(par["to"]), [par["fr"]]; refs = (par["refs"] + [par["mid"]])[-8:]
    else:
        par = None; fr = R.choices(people, pw)[0]; to = [R.choice(staff)] if not fr[1].endswith("practice.test") else [R.choices(people, pw)[0]]
        subj = " ".join(words(R.randint(3, 8))).capitalize(); refs = []
    cc = R.sample(people, R.randint(1, 3)) if R.random() < 0.2 else []
    nw = max(25, min(4000, int(R.lognormvariate(math.log(250), 0.75))))
    P = paras(nw)
    greet, bye = f"Dear {to[0][0].split()[0]},", f"Kind regards,\n{fr[0]}"
    mid = f"<{n:06d}.{R.getrandbits(64):016x}@{fr[1].split('@')[1]}>"
    tl = [greet, ""]
    for p in P: tl += wrap(p) + [""]
    tl += bye.split("\n")
    if par and R.random() < 0.6:
        tl += ["", f"On {par['date']:%d %b %Y}, {par['fr'][0]} wrote:"]
        for q in par["P"][:R.randint(1, 3)]: tl += wrap(q, 74, "> ")
    tl += ["", "--", "CONFIDENTIALITY NOTICE: this message may contain protected health information."]
    text = "\r\n".join(tl)
    hb = "".join(f'<p style="margin:0 0 12px 0;font-family:Arial,sans-serif;font-size:14px">{html.escape(p)}</p>\r\n' for p in P)
    htm = ('<html><head><meta charset="utf-8"><style>.sig{color:#666;font-size:12px} td{padding:4px}</style></head><body>\r\n'
           f'<table width="600"><tr><td><p>{greet}</p>\r\n{hb}<p class="sig">{bye.replace(chr(10), "<br>")}</p></td></tr></table>\r\n'
           '<div class="sig">CONFIDENTIALITY NOTICE: this message may contain <b>protected health information</b>.</div></body></html>')
    textbytes += len(text)
    dsub = fr[1].split("@")[1]
    hd = [f"Return-Path: <{fr[1]}>",
          f"Received: from mx1.{dsub} (mx1.{dsub} [192.0.2.{R.randint(1, 250)}])\r\n\tby mx.practice.test (Postfix) with ESMTPS id {R.getrandbits(40):010X}\r\n\tfor <{to[0][1]}>; {format_datetime(dt)}",
          f"Received: from client.{dsub} (unknown [198.51.100.{R.randint(1, 250)}])\r\n\tby mx1.{dsub} (Postfix) with ESMTPSA id {R.getrandbits(40):010X}; {format_datetime(dt - timedelta(seconds=4))}",
          f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={dsub}; s=s1;\r\n\th=from:to:subject:date:message-id; bh={base64.b64encode(R.randbytes(32)).decode()};\r\n\tb=" + "\r\n\t ".join(wrap_b for wrap_b in re.findall(".{1,70}", base64.b64encode(R.randbytes(256)).decode())),
          f"From: {fr[0]} <{fr[1]}>", "To: " + ", ".join(f"{a} <{b}>" for a, b in to)]
    if cc: hd.append("Cc: " + ",\r\n\t".join(f"{a} <{b}>" for a, b in cc))
    hd += [f"Subject: {subj}", f"Date: {format_datetime(dt)}", f"Message-ID: {mid}"]
    if par: hd += [f"In-Reply-To: {par['mid']}", "References: " + "\r\n\t".join(refs)]
    hd += ["MIME-Version: 1.0", "X-Mailer: PracticeMail 4.2", "Thread-Topic: " + subj[:60]]
    ba, bm = f"=_alt_{R.getrandbits(64):016x}", f"=_mix_{R.getrandbits(64):016x}"
    hq = quopri.encodestring(htm.replace("\r\n", "\n").encode()).decode().replace("\n", "\r\n")
    alt = (f"--{ba}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}\r\n"
           f"--{ba}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{hq}\r\n--{ba}--\r\n")
    att, pdftext = "", ""
    if R.random() < 0.15:
        for _ in range(1 if R.random() < .8 else 2):
            if R.random() < 0.15:
                pdftext = " ".join(words(R.randint(200, 1500))); data = pdf(pdftext); ct, fn = "application/pdf", f"report-{n}.pdf"
            else:
                data = R.randbytes(int(math.exp(R.uniform(math.log(1024), math.log(300 * 1024))))); ct, fn = R.choice([("image/jpeg", f"scan-{n}.jpg"), ("application/octet-stream", f"data-{n}.bin"), ("application/zip", f"files-{n}.zip")])
            att += f"--{bm}\r\nContent-Type: {ct}; name=\"{fn}\"\r\nContent-Disposition: attachment; filename=\"{fn}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{b64(data)}"
    if att:
        hd.append(f'Content-Type: multipart/mixed; boundary="{bm}"')
        body = f"This is a multi-part message in MIME format.\r\n--{bm}\r\nContent-Type: multipart/alternative; boundary=\"{ba}\"\r\n\r\n{alt}{att}--{bm}--\r\n"
    else:
        hd.append(f'Content-Type: multipart/alternative; boundary="{ba}"'); body = "This is a multi-part message in MIME format.\r\n" + alt
    raw = ("\r\n".join(hd) + "\r\n\r\n" + body).encode()
    sizes.append(len(raw))
    unix = raw.replace(b"\r\n", b"\n")
    open(f"{OUT}/maildir/cur/{int(dt.timestamp())}.{n:06d}.host:2,S", "wb").write(unix)
    mbox.write(b"From " + fr[1].encode() + dt.strftime(" %a %b %d %H:%M:%S %Y\n").encode() + re.sub(rb"(?m)^From ", b">From ", unix) + b"\n")
    body_text = text.replace("\r\n", "\n")
    docs.write(json.dumps({"id": f"{n:06d}", "mid": mid, "from": f"{fr[0]} {fr[1]}", "from_addr": fr[1], "to": " ".join(f"{a} {b}" for a, b in to + cc), "subject": subj, "date": int(dt.timestamp()), "body": body_text}) + "\n")
    hist.append({"subj": subj, "fr": fr, "to": to, "mid": mid, "refs": refs, "P": P, "date": dt})
    if len(hist) > 600: del hist[:200]
    df.update(set(re.findall(r"[a-z0-9]+", body_text.lower())))
mbox.close(); docs.close()
# fixed query set
Q = random.Random(SEED + 1)
def band(lo, hi): return sorted(w for w, c in df.items() if lo <= c <= hi and w.isalpha() and len(w) > 3 and w not in STOP)
f = N / 20000
rare, common, mid = band(3 * f, 12 * f), band(1200 * f, 8000 * f), band(200 * f, 2500 * f)
qs = [{"kind": "rare", "terms": [w]} for w in Q.sample(rare, 10)] + [{"kind": "common", "terms": [w]} for w in Q.sample(common, 10)]
qs += [{"kind": "and", "terms": Q.sample(mid, 2)} for _ in range(10)]
qs += [{"kind": "phrase", "phrase": list(c)} for c in COLLOC[:4] + [c for c in COLLOC[15:21]]]
for _ in range(5):
    a = START + timedelta(days=Q.randint(0, 630)); b = a + timedelta(days=90)
    qs.append({"kind": "date", "terms": [Q.choice(mid)], "from_ts": int(a.timestamp()), "to_ts": int(b.timestamp()), "from_day": f"{a:%Y-%m-%d}", "to_day": f"{b:%Y-%m-%d}"})
for p in people[:5]: qs.append({"kind": "from", "terms": [Q.choice(mid)], "from": p[1]})
json.dump(qs, open(f"{OUT}/queries.json", "w"), indent=1)
sizes.sort()
json.dump({"n": N, "raw_bytes": sum(sizes), "median": sizes[N // 2], "p90": sizes[int(N * .9)], "p99": sizes[int(N * .99)], "max": sizes[-1], "text_bytes": textbytes, "distinct_terms": len(df)}, open(f"{OUT}/stats.json", "w"), indent=1)
print(open(f"{OUT}/stats.json").read())
