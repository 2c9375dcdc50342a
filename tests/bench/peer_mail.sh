#!/bin/bash
# Postfix -> LMTP -> Dovecot with mail_crypt (encrypted at rest), on loopback port 22525.   peer_mail.sh start [none|mail_crypt|zlib] | stop
# Needs: apt-get install postfix dovecot-core dovecot-lmtpd dovecot-imapd openssl. Rewrites /etc/postfix: for test machines only.
set -eu
W=${W:-${TMPDIR:-/tmp}/strongroom-bench-peer}; PORT=${PORT:-22525}; mkdir -p "$W/run" "$W/state"; cd "$W"
stop() { [ -f run/master.pid ] && doveadm -c dovecot.conf stop 2>/dev/null || true; postfix stop 2>/dev/null || true; sleep 1; }
start() {
  stop; id vmail >/dev/null 2>&1 || useradd -r -m -d "$W/vmailhome" vmail
  [ -f ecpriv.pem ] || { openssl ecparam -name prime256v1 -genkey -noout | openssl pkey -out ecpriv.pem; openssl pkey -in ecpriv.pem -pubout -out ecpub.pem; }
  [ -f tls.crt ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=mx.practice.test -keyout tls.key -out tls.crt 2>/dev/null
  chmod 644 ecpriv.pem; chmod 755 "$W"
  case ${1:-mail_crypt} in none) P=""; C="";; mail_crypt) P="mail_crypt"; C=yes;; zlib) P="mail_crypt zlib"; C=yes;; esac
  { cat <<D
base_dir = $W/run
state_dir = $W/state
log_path = $W/dovecot.log
protocols = lmtp imap
listen = 127.0.0.1
ssl = no
first_valid_uid = 100
mail_uid = vmail
mail_gid = vmail
mail_location = maildir:~/Maildir
mail_plugins = $P
passdb {
  driver = static
  args = nopassword=y
}
userdb {
  driver = static
  args = uid=vmail gid=vmail home=$W/mail/%n allow_all_users=yes
}
service lmtp {
  unix_listener /var/spool/postfix/private/dovecot-lmtp {
    mode = 0600
    user = postfix
    group = postfix
  }
}
service anvil {
  chroot =
}
service stats {
  chroot =
}
service imap-login {
  chroot =
  inet_listener imap {
    port = 21143
  }
  inet_listener imaps {
    port = 0
  }
}
disable_plaintext_auth = no
plugin {
D
  [ -n "$C" ] && printf '  mail_crypt_global_private_key = <%s/ecpriv.pem\n  mail_crypt_global_public_key = <%s/ecpub.pem\n  mail_crypt_save_version = 2\n' "$W" "$W"
  [ "${1:-}" = zlib ] && echo '  zlib_save = gz'
  echo '}'; } > dovecot.conf
  cat > /etc/postfix/main.cf <<D
compatibility_level = 3.6
queue_directory = /var/spool/postfix
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
data_directory = /var/lib/postfix
mail_owner = postfix
myhostname = mx.practice.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = practice.test
virtual_transport = lmtp:unix:private/dovecot-lmtp
smtpd_tls_cert_file = $W/tls.crt
smtpd_tls_key_file = $W/tls.key
smtpd_tls_security_level = may
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_recipient_restrictions = permit_mynetworks, reject
maillog_file = /var/log/postfix.log
maillog_file_prefixes = /var
biff = no
append_dot_mydomain = no
alias_maps =
alias_database =
lmtp_destination_concurrency_limit = 20
virtual_destination_concurrency_limit = 20
D
  sed -e "s/^smtp      inet  n       -       y/$PORT     inet  n       -       n/" /etc/postfix/master.cf.proto > /etc/postfix/master.cf
  rm -rf mail; mkdir -p mail; chown vmail:vmail mail; : > dovecot.log
  dovecot -c dovecot.conf; postsuper -d ALL >/dev/null 2>&1 || true; : > /var/log/postfix.log; postfix start 2>/dev/null; sleep 1
}
"$@"
