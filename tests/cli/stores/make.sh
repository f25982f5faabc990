#!/bin/sh
# Makes the files beside it, with OpenSSL and Java's keytool. They serve tests alone: everybody knows their keys.
set -eu
cd "$(dirname "$0")"
pass=canary-store
other=canary-key
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# They hold whatever the clock of a machine says: `openssl ca` is the one command of OpenSSL 3.0 that takes both dates.
from=20000101000000Z
to=20991231235959Z
: >"$work/index"
cat >"$work/ca.conf" <<CONF
[ca]
default_ca = test
[test]
database = $work/index
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
CONF

sign() { # CSR CERTIFICATE EXTENSIONS FROM TO OPTION...
    printf '%s\n' "$3" >"$work/extensions"
    csr=$1 certificate=$2 start=$4 end=$5
    shift 5
    openssl ca -batch -config "$work/ca.conf" -in "$csr" -out "$certificate" -notext -extfile "$work/extensions" -keyfile "$work/ca.key" \
        -startdate "$start" -enddate "$end" "$@" 2>/dev/null
}

request() { # NAME SUBJECT
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/$1.key" -out "$work/$1.csr" -subj "/CN=$2" 2>/dev/null
}

issue() { # NAME SUBJECT EXTENSIONS TO
    request "$1" "$2"
    sign "$work/$1.csr" "$work/$1.crt" "$3" "$from" "$4" -cert ca.pem
}

request ca test-ca
sign "$work/ca.csr" ca.pem 'basicConstraints=critical,CA:TRUE' "$from" "$to" -selfsign
issue server localhost 'subjectAltName=DNS:localhost,IP:127.0.0.1' "$to"
issue client client 'extendedKeyUsage=clientAuth' "$to"
issue expired localhost 'subjectAltName=DNS:localhost' 20010101000000Z

cat "$work/server.key" "$work/server.crt" ca.pem >server.pem
cat "$work/client.key" "$work/client.crt" >client.pem
cat "$work/expired.key" "$work/expired.crt" >expired.pem
{ openssl pkcs8 -topk8 -in "$work/server.key" -v2 aes-256-cbc -passout "pass:$other"; cat "$work/server.crt"; } >encrypted.pem

rm -f ./*.p12 ./*.jks
openssl pkcs12 -export -inkey "$work/server.key" -in "$work/server.crt" -certfile ca.pem -name server \
    -passout "pass:$pass" -out openssl.p12
convert() { # TYPE FILE KEYPASS OPTIONS
    keytool -importkeystore -srckeystore openssl.p12 -srcstoretype PKCS12 -srcstorepass "$pass" -srcalias server \
        -deststoretype "$1" -destkeystore "$2" -deststorepass "$pass" -destkeypass "$3" $4 -noprompt 2>/dev/null
}
convert PKCS12 java.p12 "$pass" ''
convert PKCS12 legacy.p12 "$pass" '-J-Dkeystore.pkcs12.legacy'
convert JKS java.jks "$other" ''
for type in PKCS12 JKS; do
    file=trust.$(echo $type | tr PKCSJ pkcsj | sed 's/pkcs12/p12/')
    keytool -importcert -file ca.pem -alias ca -storetype $type -keystore "$file" -storepass "$pass" -noprompt 2>/dev/null
done
