#!/bin/sh
# Makes the files beside it, with OpenSSL and Java's keytool. They serve tests alone: everybody knows their keys.
set -eu
cd "$(dirname "$0")"
pass=canary-store
other=canary-key
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

issue() { # NAME SUBJECT EXTENSIONS DAYS
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/$1.key" -out "$work/$1.csr" -subj "/CN=$2" 2>/dev/null
    printf '%s\n' "$3" >"$work/$1.ext"
    openssl x509 -req -in "$work/$1.csr" -CA ca.pem -CAkey "$work/ca.key" -CAcreateserial -CAserial "$work/serial" \
        -days "$4" -extfile "$work/$1.ext" -out "$work/$1.crt" 2>/dev/null
}

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/ca.key" -out ca.pem -days 36500 \
    -subj /CN=test-ca 2>/dev/null
issue server localhost 'subjectAltName=DNS:localhost,IP:127.0.0.1' 36500
issue client client 'extendedKeyUsage=clientAuth' 36500
issue expired localhost 'subjectAltName=DNS:localhost' -1

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
