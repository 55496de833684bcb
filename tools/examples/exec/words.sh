#!/bin/bash
# An agent in bash that stays: exec with `persistent`, apiary-exec(7). Bodies are texts here, since a variable holds no NUL.
export LC_ALL=C # so that a character is a byte

say() # say HEAD [BODY]
{
    printf '%d %d\n%s%s' "${#1}" "${#2}" "$1" "$2"
}

answer() # answer ID CAPABILITY BODY
{
    local id=$1 word done=0
    case $2 in
    upper | upper@*) say "{\"type\":\"result\",\"id\":$id}" "${3^^}" ;;
    words | words@*) # each word is a part of the result, told before the next one is looked for
        set -f # a "*" is a word
        set -- $3
        for word; do
            say "{\"type\":\"part\",\"id\":$id}" "$word"$'\n'
            say "{\"type\":\"beat\",\"id\":$id}" "$((++done)) of $# words"
        done
        say "{\"type\":\"result\",\"id\":$id}"
        ;;
    *)
        say '{"type":"log","level":4}' 'a task is refused'
        say "{\"type\":\"fail\",\"id\":$id,\"code\":1}" "$3"
        ;;
    esac
}

member() # member HEAD NAME: a number, or a text without quotes in it, in $value; an agent's heads have no blanks between
{
    value=${1#*"\"$2\":"}
    value=${value%%[,\}]*}
    value=${value#\"}
    value=${value%\"}
}

while read -r head_size body_size; do
    head= body=
    IFS= read -r -d '' -N "$head_size" head
    [ "$body_size" -eq 0 ] || IFS= read -r -d '' -N "$body_size" body
    member "$head" type
    case $value in
    hello) say '{"type":"hello","protocol":1}' ;;
    task)
        member "$head" id
        id=$value
        member "$head" capability
        answer "$id" "$value" "$body"
        ;;
    esac
done
